"""A worker's app over a running engine, asked in process."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import httpx
import pytest

from fleet.load import load_fleet
from fleet.schema import Fleet
from tests.worker.conftest import ROOT
from worker.base import textless_ids
from worker.engine.engine import Engine
from worker.engine.observer import Silent
from worker.engine.request import GenerationRequest
from worker.engine.scheduler import Scheduler
from worker.engine.text import TextStream, new_text_stream
from worker.guidance.compiler import Compiler
from worker.load import Loaded, load_worker
from worker.prompt.prompter import Prompter
from worker.server.adapters import Adapters
from worker.server.app import Service, build_app
from worker.server.defaults import SamplingDefaults
from worker.server.embeddings import Embeddings
from worker.server.plans import Planner
from worker.tools.choose import format_of

LIMIT_S = 120
T = TypeVar("T")
Endpoint = tuple[str, dict[str, Any]]


class Names:
    """Counts nothing."""

    def start_at_zero(self, adapters: list[str]) -> None: ...


class Worker:
    """A worker's app over a running engine; the loop runs while requests do."""

    loaded: Loaded

    def __init__(self, runner: asyncio.Runner, fleet: Fleet | None = None) -> None:
        self._runner = runner
        self._fleet = fleet or load_fleet(ROOT / "adapters.yaml")
        self._engine = Engine(8, 8, self._text, lambda: None)
        runner.run(self._engine.start(self._load))
        self.tokenizer = self.loaded.tokenizer
        self.vocabulary = self.loaded.resident.vocabulary
        resident = self.loaded.resident
        planner = Planner(
            Prompter(self.tokenizer, self.loaded.resident.max_model_len, format_of(self.tokenizer)),
            SamplingDefaults(temperature=0.0),
            Compiler(self.tokenizer, self.vocabulary, sorted(self.tokenizer.eos_token_ids)),
            self.vocabulary,
            16,
        )
        embeddings = Embeddings(self._engine, resident, planner.prompter, self.loaded.embedder, 16)
        paging = self.loaded.paging
        adapters = runner.run(self._adapters())
        self._app = build_app(
            Service(self._engine, resident, planner, embeddings, adapters, paging, lambda: b"")
        )

    def post(self, endpoint: Endpoint, *requests: dict[str, Any]) -> list[httpx.Response]:
        """The answers to requests sent at once, so that they share a batch."""
        return self._runner.run(self._post(endpoint, requests))

    def choices(self, endpoint: Endpoint, *requests: dict[str, Any]) -> list[tuple[str, str]]:
        """Text and finish_reason of each answer."""
        found: list[tuple[str, str]] = []
        for answer in self.post(endpoint, *requests):
            choice = answer.raise_for_status().json()["choices"][0]
            text = choice["text"] if "text" in choice else choice["message"]["content"]
            found.append((text, choice["finish_reason"]))
        return found

    def run(
        self,
        work: Callable[[httpx.AsyncClient], Coroutine[Any, Any, T]],
        limit_s: float = LIMIT_S,
    ) -> T:
        """The result of a scenario over a client of the app."""

        async def scenario() -> T:
            async with asyncio.timeout(limit_s), self._client() as client:
                return await work(client)

        return self._runner.run(scenario())

    @property
    def engine(self) -> Engine:
        return self._engine

    def stop(self) -> None:
        self._runner.run(self._engine.stop())

    async def _post(self, endpoint: Endpoint, requests: Any) -> list[httpx.Response]:
        path, body = endpoint
        common = {"model": "apertus", "max_tokens": 24} | body
        async with asyncio.timeout(LIMIT_S), self._client() as client:
            calls = [client.post(path, json=common | fields) for fields in requests]
            return await asyncio.gather(*calls)

    def _client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self._app)
        return httpx.AsyncClient(transport=transport, base_url="http://worker", timeout=LIMIT_S)

    async def _adapters(self) -> Adapters:
        return Adapters(self._engine, self.loaded, Names())

    def _load(self) -> Scheduler:
        self.loaded = load_worker(self._fleet, "apertus", "test", Silent())
        return self.loaded.scheduler

    def _text(self, request: GenerationRequest) -> TextStream:
        textless = textless_ids(self.tokenizer)
        return new_text_stream(self.tokenizer.detokenizer, textless, request)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with asyncio.Runner() as runner:
        worker = Worker(runner)
        yield worker
        worker.stop()
