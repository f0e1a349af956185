"""What is asked of a gateway, and what of its answers is believed."""

import asyncio
import math

import httpx
import pytest

from gateway.evaluate.asking import Asking, Pair, Subject
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.figures import Outcome
from gateway.evaluate.measure import measure_with
from gateway.evaluate.records import Record
from tests.gateway.evaluate.fake_gateway import ADAPTER, BASE, FakeGateway

ANSWERS = {f"q{at}": f"answer {at}" for at in range(12)}
RECORDS = [Record([{"role": "user", "content": q}], a) for q, a in ANSWERS.items()]
PAIR = Pair(Subject(BASE, False), Subject(ADAPTER, True), "law")


@pytest.fixture
def fake():
    return FakeGateway(ANSWERS)


def ask(fake, what):
    async def body():
        transport = httpx.ASGITransport(app=fake.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://fake") as client:
            return await what(Asking(client))

    return asyncio.run(body())


def refused(fake, what) -> str:
    with pytest.raises(EvaluationError) as caught:
        ask(fake, what)
    return str(caught.value)


@pytest.mark.parametrize(
    ("adapter", "base"), [(ADAPTER, None), ("law", "one"), ("law", BASE), (ADAPTER, "one")]
)
def test_finds_an_adapter_and_its_base(fake, adapter, base):
    assert ask(fake, lambda asking: asking.find(adapter, base)) == PAIR


@pytest.mark.parametrize(
    ("adapter", "base", "words"),
    [
        ("law", None, "is on several bases; name one with --base: ai-one-law, ai-two-law"),
        ("power", None, "is not served: ai-one-law, ai-two-law, ai-two-tax"),
        ("tax", "one", "is not served"),
        ("auto", None, "is not served"),
        ("jurist", None, "is not served"),
    ],
)
def test_says_which_adapters_there_are(fake, adapter, base, words):
    assert words in refused(fake, lambda asking: asking.find(adapter, base))


def test_one_record(fake):
    base, adapter = ask(fake, lambda asking: asking.measure(PAIR, RECORDS[3]))
    tokens = len("answer 3")
    assert base == Outcome(False, pytest.approx(-2.0 * tokens), tokens)
    assert adapter == Outcome(True, pytest.approx(-0.1 * tokens), tokens)
    assert {each["model"] for each in fake.asked} == {BASE, ADAPTER}
    for each in fake.asked:
        if "prompt" in each:
            assert (each["echo"], each["logprobs"], each["max_tokens"]) == (True, 0, 0)
        else:
            assert (each["temperature"], each["max_tokens"]) == (0, 2 * tokens + 16)


def test_all_records(fake):
    shown: list[float] = []
    found = ask(fake, lambda asking: measure_with(asking, "law", "one", RECORDS, 4, shown.append))
    assert found.figures.n == 12
    assert found.figures.exact_match.adapter == 1
    assert found.figures.perplexity.base == pytest.approx(math.exp(2))
    assert found.figures.perplexity.adapter == pytest.approx(math.exp(0.1))
    assert (found.base_digest, found.adapter_digest) == ("b" * 64, None)
    assert shown == sorted(shown)
    assert shown[-1] == 1
    assert fake.most_rows > 4  # base and adapter of several records at once


def test_a_context_that_is_full(fake):
    fake.context = 10
    assert "context has 10" in refused(fake, lambda asking: asking.measure(PAIR, RECORDS[0]))
    fake.context = 15
    ask(fake, lambda asking: asking.measure(PAIR, RECORDS[0]))
    assert {each["max_tokens"] for each in fake.asked} == {0, 11}


def test_another_that_answers_ends_it(fake):
    fake.answered_by = BASE
    run = lambda asking: measure_with(asking, "law", "one", RECORDS, 1, lambda _: None)  # noqa: E731
    said = refused(fake, run)
    assert said == "record 1: 'ai-one-law' was asked, 'ai-one' answered; nothing was measured"


def test_an_adapter_replaced_meanwhile_ends_it(fake):
    fake.digests = iter("abcdefghijkl")
    run = lambda asking: measure_with(asking, "law", "one", RECORDS, 1, lambda _: None)  # noqa: E731
    assert "was replaced meanwhile; measure again" in refused(fake, run)


def test_no_gateway_there():
    async def body():
        async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as client:
            await Asking(client).find("law")

    with pytest.raises(EvaluationError, match="is it running"):
        asyncio.run(body())
