"""The engine thread: events arrive, leaving cancels, a death ends everything and is told."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.worker.conftest import Bench
from wire.errors import Overloaded, WorkerUnavailable
from worker.engine.engine import Engine
from worker.engine.request import Event, Failed, Finished, GenerationRequest, SamplingParams
from worker.engine.scheduler import Delivery, Scheduler
from worker.engine.text import TextStream

LIMIT_S = 60


class Broken:
    """A scheduler whose second step raises, as MLX does when memory runs out."""

    def __init__(self, inner: Scheduler) -> None:
        self._inner = inner
        self._steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def step(self) -> Delivery:
        self._steps += 1
        if self._steps > 1:
            raise RuntimeError("out of memory")
        return self._inner.step()


class Setup:
    def __init__(self, bench: Bench, max_rows: int = 4, max_queue: int = 4) -> None:
        self.bench = bench
        self.deaths = 0
        self.engine = Engine(max_rows, max_queue, self._text, self._on_death)

    def _text(self, request: GenerationRequest) -> TextStream:
        return TextStream(self.bench.tokenizer.detokenizer, frozenset(), request.stop)

    def _on_death(self) -> None:
        self.deaths += 1

    def request(self, max_tokens: int = 6) -> GenerationRequest:
        return GenerationRequest(
            self.bench.prompt("hello"), None, max_tokens, SamplingParams(0), (), ignore_eos=True
        )


async def collect(engine: Engine, request: GenerationRequest) -> list[Event]:
    generation = engine.generate(request)
    try:
        return [event async for event in generation.events()]
    finally:
        generation.close()


def test_one_request(new_bench: Callable[[], Bench]) -> None:
    setup = Setup(new_bench())

    async def run() -> list[Event]:
        await setup.engine.start(lambda: setup.bench.scheduler)
        events = await asyncio.wait_for(collect(setup.engine, setup.request()), LIMIT_S)
        assert setup.engine.pending == 0
        await setup.engine.stop()
        return events

    events = asyncio.run(run())
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(e, Finished | Failed) for e in events) == 1


def test_a_death_ends_all_requests_and_is_told_once(
    new_bench: Callable[[], Bench], caplog: pytest.LogCaptureFixture
) -> None:
    setup = Setup(new_bench())

    async def run() -> list[list[Event]]:
        broken = cast(Scheduler, Broken(setup.bench.scheduler))
        await setup.engine.start(lambda: broken)
        calls = [collect(setup.engine, setup.request(50)) for _ in range(3)]
        answers = await asyncio.wait_for(asyncio.gather(*calls), LIMIT_S)
        with pytest.raises(WorkerUnavailable):
            setup.engine.generate(setup.request())
        return answers

    for events in asyncio.run(run()):
        assert isinstance(events[-1], Failed)
        assert sum(isinstance(e, Finished | Failed) for e in events) == 1
    assert setup.deaths == 1
    assert setup.engine.dead
    assert "out of memory" in caplog.text


def test_what_loading_raises_reaches_the_caller() -> None:
    def fail() -> Scheduler:
        raise ValueError("no such model")

    async def run() -> None:
        engine = Engine(1, 1, lambda _: cast(Any, None), lambda: None)
        with pytest.raises(ValueError, match="no such model"):
            await asyncio.wait_for(engine.start(fail), LIMIT_S)

    asyncio.run(run())


def test_a_full_engine_refuses_and_takes_again_when_one_leaves(
    new_bench: Callable[[], Bench],
) -> None:
    setup = Setup(new_bench(), max_rows=1, max_queue=1)

    async def run() -> None:
        await setup.engine.start(lambda: setup.bench.scheduler)
        first = setup.engine.generate(setup.request(400))
        second = setup.engine.generate(setup.request(400))
        with pytest.raises(Overloaded):
            setup.engine.generate(setup.request())
        first.close()
        second.close()
        second.close()
        events = await asyncio.wait_for(collect(setup.engine, setup.request(3)), LIMIT_S)
        assert isinstance(events[-1], Finished)
        await setup.engine.stop()

    asyncio.run(run())
    assert len(setup.bench.watch.cancelled) == 2
