"""Log-probabilities of the prompt: those of a plain forward pass, a chunk a step."""

import mlx.core as mx
import pytest

from tests.worker.conftest import Bench
from tests.worker.lora.tiny import ALL, VOCABULARY, paths_of, random_adapter, tiny_model
from worker.engine.logprobs import report_tokens
from worker.engine.request import Finished, GenerationRequest, Scored, Text, TokenLogprob
from worker.engine.row import Row
from worker.engine.scheduler import PREFILL_STEP_TOKENS
from worker.engine.scoring import Scoring
from worker.engine.text import TextStream
from worker.lora.model import AdapterModel

LONG = PREFILL_STEP_TOKENS + 90


class Silence:
    """A detokeniser that makes no text."""

    last_segment = ""

    def add_token(self, token: int) -> None: ...

    def finalize(self) -> None: ...


def plain(model: AdapterModel, prompt: list[int], slot: int, top: int) -> list[object]:
    """By one forward pass over the whole prompt."""
    logits = model.logits(mx.array([prompt[:-1]]), slot)[0]
    return [None, *report_tokens(logits, prompt[1:], [top] * (len(prompt) - 1))]


def assert_close(found: Scored, expected: list[object], prompt: list[int]) -> None:
    assert len(found.tokens) == len(prompt)
    assert found.tokens[0] is None
    for token, one, other in zip(prompt[1:], found.tokens[1:], expected[1:], strict=True):
        assert isinstance(one, TokenLogprob)
        assert isinstance(other, TokenLogprob)
        assert one.token == token
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        values, wanted = [[v for _, v in report.top] for report in (one, other)]
        assert values == pytest.approx(wanted, abs=1e-4)
        assert values == sorted(values, reverse=True)


def scored(bench: Bench, row: int) -> Scored:
    found = [event for event in bench.events[row] if isinstance(event, Scored)]
    assert len(found) == 1
    assert bench.events[row][0] is found[0]
    return found[0]


@pytest.mark.parametrize("slot", [0, 1, 2])
@pytest.mark.parametrize("chunk", [1, 7, 64, 400])
def test_any_chunk_gives_the_plain_scores(slot: int, chunk: int) -> None:
    model = AdapterModel(tiny_model(), 2, mx.float32)
    for number, name in enumerate(["one", "two"]):
        model.put(number + 1, random_adapter(name, paths_of(ALL), seed=number))
    prompt = [(5 * i * i + 3 * i) % VOCABULARY for i in range(150)]
    request = GenerationRequest(prompt, None, 0, prompt_logprobs=3)
    row = Row(0, request, lambda _: None, TextStream(Silence(), (), ()), 0.0)
    scoring = Scoring(row, model.new_cache(slot), chunk)
    steps = 0
    while not scoring.done:
        scoring.step(model)
        steps += 1
    assert steps == -(-149 // chunk)
    assert scoring.cache[0].size() == 149
    assert_close(scoring.scored(), plain(model, prompt, slot, 3), prompt)


@pytest.mark.parametrize("adapter", [None, "emc"])
def test_scores_and_answer_while_others_decode(bench: Bench, adapter: str | None) -> None:
    prompt = (bench.prompt("What is a ferrite bead, and when is it of no use? ") * 80)[:LONG]
    beside = {"text": "What is a via?", "adapter": "kicad", "max_tokens": 14}
    alone = bench.submit(**beside)
    bench.run()
    answered = bench.submit(prompt=prompt, adapter=adapter, max_tokens=6)
    bench.run()
    decoding = bench.submit(**beside)
    while not bench.events[decoding]:
        bench.step()
    row = bench.submit(prompt=prompt, adapter=adapter, max_tokens=6, prompt_logprobs=2)
    told = len(bench.events[decoding])
    bench.step()
    assert not bench.events[row], "one chunk a step"
    bench.run()
    assert len(bench.events[decoding]) > told
    assert bench.text(decoding) == bench.text(alone)
    assert bench.text(row) == bench.text(answered)
    assert bench.finished(row).usage.cached_tokens == 0
    expected = plain(bench.scheduler._model, prompt, bench.rows[row].slot, 2)
    assert_close(scored(bench, row), expected, prompt)


def test_the_score_alone(bench: Bench) -> None:
    prompt = bench.prompt("What is a ground loop?")
    row = bench.submit(prompt=prompt, max_tokens=0, prompt_logprobs=0)
    bench.run()
    found = scored(bench, row)
    assert [report and report.token for report in found.tokens] == [None, *prompt[1:]]
    assert all(report.top == () for report in found.tokens if report)
    end = bench.finished(row)
    assert end == bench.events[row][1]
    assert (end.reason, end.usage.completion_tokens) == ("length", 0)
    assert end.usage.prompt_tokens == len(prompt)
    assert bench.watch.ended[-1] == (row, "length")
    assert not bench.scheduler.busy


def test_a_scored_prompt_is_kept_as_a_prefix(bench: Bench) -> None:
    prompt = bench.prompt("What is a prompt that nobody scored before?")
    bench.submit(prompt=prompt, max_tokens=0, prompt_logprobs=0)
    bench.run()
    after = bench.submit(prompt=prompt, max_tokens=3)
    bench.run()
    assert bench.finished(after).usage.cached_tokens == len(prompt) - 1


@pytest.mark.parametrize("max_tokens", [0, 3])
def test_a_prompt_of_one_token_has_no_score(bench: Bench, max_tokens: int) -> None:
    row = bench.submit(prompt=[1], max_tokens=max_tokens, prompt_logprobs=1, logprobs=1)
    bench.run()
    assert scored(bench, row).tokens == (None,)
    assert bench.finished(row).usage.completion_tokens == max_tokens
    assert len([e for e in bench.events[row] if isinstance(e, Text)]) <= max_tokens


def test_cancel_while_it_is_scored(bench: Bench) -> None:
    prompt = (bench.prompt("x ") * 300)[: 2 * LONG]
    first = bench.submit(prompt=prompt, max_tokens=3, prompt_logprobs=1)
    second = bench.submit(prompt=prompt, max_tokens=0, prompt_logprobs=1)
    bench.step()
    bench.scheduler.cancel(first)
    assert bench.watch.cancelled[-1] == (first, "prefill")
    bench.scheduler.cancel(second)
    assert bench.watch.cancelled[-1] == (second, "prefill")
    assert not bench.scheduler.busy
    bench.step()
    assert bench.events[first] == bench.events[second] == []


def test_prompts_to_be_scored_take_rows(bench: Bench) -> None:
    rows = [bench.submit(max_tokens=0, prompt_logprobs=0) for _ in range(40)]
    bench.step()
    assert len(bench.scheduler.running) + len(bench.scheduler.waiting) == 39
    assert len(bench.scheduler.waiting) > 0
    bench.run()
    assert all(isinstance(bench.end(row), Finished) for row in rows)


def test_a_row_is_asked_for_one_token_at_least(bench: Bench) -> None:
    with pytest.raises(AssertionError):
        bench.submit(max_tokens=0)
