"""The worker's embeddings: limits, order, encodings, and a client that goes away."""

import asyncio
import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from wire.embeddings import MAX_TOTAL_TOKENS
from wire.errors import ContextTooLong, EngineFailed, InvalidRequest, ModelNotFound, Overloaded
from worker.base import load_base
from worker.embedding import PASS_TOKENS, Embedder
from worker.lora.model import AdapterModel
from worker.prompt.prompter import Prompter
from worker.residency.adapters import AdapterVersion, Registry
from worker.server.embeddings import Embeddings, add_routes
from worker.server.resident import Resident

T = TypeVar("T")
DEMO = Path(__file__).resolve().parents[3] / "demo"
LIMIT = PASS_TOKENS + 100
TEXTS = ["Ohm's law", "How do I choose a decoupling capacitor?", "Ohm's law", "é日本🙂"]


class Jobs:
    """Runs each job at once, and counts them; ``hold`` stops before the nth."""

    def __init__(self, hold: int | None = None) -> None:
        self.count = 0
        self.held = asyncio.Event()
        self._hold = hold

    async def run(self, job: Callable[[], T]) -> T:
        if self.count == self._hold:
            self.held.set()
            await asyncio.Event().wait()
        self.count += 1
        await asyncio.sleep(0)
        return job()


@pytest.fixture(scope="module")
def prompter_and_embedder() -> tuple[Prompter, Embedder]:
    base = load_base("base", DEMO / "models" / "apertus", "float32", None)
    active = AdapterModel(base.model, [], base.dtype).active
    embedder = Embedder.load("base", base.model, active, base.vocabulary)
    return Prompter(base.tokenizer, LIMIT), embedder


Make = Callable[..., Embeddings]


@pytest.fixture
def make(prompter_and_embedder: tuple[Prompter, Embedder]) -> Make:
    prompter, embedder = prompter_and_embedder
    adapter = AdapterVersion("dsp", "d" * 64, Path(), "mlx", 8, 1, 1, 1.0)
    resident = Resident("base", "r", "b" * 64, LIMIT, 2048, "none", 0, Registry([adapter]), 16)

    def make(jobs: Jobs | None = None, *, enabled: bool = True, max_queue: int = 8) -> Embeddings:
        served = embedder if enabled else None
        return Embeddings(jobs or Jobs(), resident, prompter, served, max_queue)

    return make


def body_of(**fields: Any) -> bytes:
    return json.dumps({"model": "base"} | fields).encode()


def ask(embeddings: Embeddings, **fields: Any) -> dict[str, Any]:
    response = asyncio.run(embeddings.answer(body_of(**fields)))
    assert response.headers["x-ailiance-base"] == "base"
    return json.loads(bytes(response.body))


def vectors_of(answer: dict[str, Any]) -> list[list[float]]:
    assert [entry["index"] for entry in answer["data"]] == list(range(len(answer["data"])))
    return [entry["embedding"] for entry in answer["data"]]


def test_the_answer(make: Make) -> None:
    answer = ask(make(), input="Ohm's law")
    (vector,) = vectors_of(answer)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert (answer["object"], answer["model"]) == ("list", "base")
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 1
    assert answer["ailiance"] == {
        "base": "base",
        "base_digest": "b" * 64,
        "adapter": None,
        "adapter_digest": None,
    }


def test_inputs_keep_their_order(make: Make) -> None:
    all_at_once = vectors_of(ask(make(), input=TEXTS))
    assert all_at_once == [vectors_of(ask(make(), input=text))[0] for text in TEXTS]
    assert all_at_once[0] == all_at_once[2] != all_at_once[1]


def test_tokens_are_the_text_with_its_special_tokens(
    make: Make, prompter_and_embedder: tuple[Prompter, Embedder]
) -> None:
    ids = [prompter_and_embedder[0].tokenizer.encode(text) for text in TEXTS]
    assert ids[0][0] == 1
    assert vectors_of(ask(make(), input=ids)) == vectors_of(ask(make(), input=TEXTS))
    assert vectors_of(ask(make(), input=ids[1])) == vectors_of(ask(make(), input=TEXTS[1]))
    assert ask(make(), input=ids)["usage"]["prompt_tokens"] == sum(map(len, ids))


def test_base64_holds_the_same_numbers(make: Make) -> None:
    plain = vectors_of(ask(make(), input=TEXTS))
    packed = ask(make(), input=TEXTS, encoding_format="base64")["data"]
    raw = [base64.b64decode(entry["embedding"]) for entry in packed]
    assert [list(struct.unpack(f"<{len(r) // 4}f", r)) for r in raw] == plain


def test_the_longest_input_takes_several_passes(make: Make) -> None:
    jobs = Jobs()
    assert ask(make(jobs), input=[5] * LIMIT)["usage"]["total_tokens"] == LIMIT
    assert jobs.count == 2


def test_the_models_own_size_may_be_asked_for(make: Make) -> None:
    assert len(vectors_of(ask(make(), input="a", dimensions=192))[0]) == 192


@pytest.mark.parametrize(
    ("fields", "kind", "param", "told"),
    [
        ({"input": [5] * (LIMIT + 1)}, ContextTooLong, "input", str(LIMIT + 1)),
        ({"input": ["a", "word " * LIMIT]}, ContextTooLong, "input[1]", "shorten or split"),
        ({"input": [[5], [5, 2048]]}, InvalidRequest, "input[1]", "token id 2048"),
        ({"input": "a", "dimensions": 191}, InvalidRequest, "dimensions", "192"),
        ({"input": ""}, InvalidRequest, "input", "is empty"),
        ({"input": "a", "model": "dsp"}, InvalidRequest, "model", "name 'base'"),
        ({"input": "a", "model": "base:dsp"}, InvalidRequest, "model", "name 'base'"),
        ({"input": "a", "model": "other"}, ModelNotFound, "model", "other"),
    ],
)
def test_refused(
    make: Make, fields: dict[str, Any], kind: type[InvalidRequest], param: str, told: str
) -> None:
    jobs = Jobs()
    with pytest.raises(kind, match=told) as caught:
        ask(make(jobs), **fields)
    assert caught.value.param == param
    assert jobs.count == 0


def test_too_many_tokens_in_all(make: Make) -> None:
    inputs = [[5] * LIMIT] * (MAX_TOTAL_TOKENS // LIMIT + 1)
    with pytest.raises(InvalidRequest, match=str(MAX_TOTAL_TOKENS)) as caught:
        ask(make(), input=inputs)
    assert (caught.value.param, caught.value.code) == ("input", "max_tokens_per_request")


def test_a_base_that_serves_none(make: Make) -> None:
    with pytest.raises(InvalidRequest, match=r"set bases\.base\.embeddings: true") as caught:
        ask(make(enabled=False), input="a")
    assert caught.value.param == "model"


def test_a_vector_that_is_not_finite_is_an_error(make: Make) -> None:
    class Damaged(Jobs):
        async def run(self, job: Callable[[], T]) -> T:
            await super().run(job)
            return [float("nan")]  # type: ignore[return-value]

    with pytest.raises(EngineFailed):
        ask(make(Damaged()), input="a")


def test_more_requests_than_may_wait(make: Make) -> None:
    async def test() -> None:
        jobs = Jobs(hold=0)
        embeddings = make(jobs, max_queue=0)
        first = asyncio.create_task(embeddings.answer(body_of(input="a")))
        await jobs.held.wait()
        with pytest.raises(Overloaded):
            await embeddings.answer(body_of(input="a"))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        with pytest.raises(TimeoutError):  # taken on again: it waits for its job
            await asyncio.wait_for(embeddings.answer(body_of(input="a")), 0.05)

    asyncio.run(test())


def test_a_client_that_goes_ends_the_request_after_the_pass(make: Make) -> None:
    jobs = Jobs(hold=2)
    app = FastAPI()
    add_routes(app, make(jobs))
    sent: list[Any] = []
    body = [{"type": "http.request", "body": body_of(input=TEXTS), "more_body": False}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/embeddings",
        "headers": [],
        "query_string": b"",
    }

    async def receive() -> Any:
        if body:
            return body.pop()
        await jobs.held.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    assert jobs.count == 2
    assert sent[0]["status"] == 204


def test_over_http(make: Make) -> None:
    app = FastAPI()
    add_routes(app, make())
    with TestClient(app) as client:
        # enough of both to leave the event loop
        answer = client.post("/v1/embeddings", json={"model": "base", "input": ["word " * 50] * 90})
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 90
    assert answer.headers["x-ailiance-base-digest"] == "b" * 64
