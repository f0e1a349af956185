"""The engine thread: events arrive, leaving cancels, a death ends everything and is told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from tests.worker.conftest import Bench
from wire.errors import EngineFailed, Overloaded, WorkerUnavailable
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


class Counted:
    """A scheduler that writes down its steps."""

    def __init__(self, inner: Scheduler, order: list[str]) -> None:
        self._inner = inner
        self._order = order

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def step(self) -> Delivery:
        self._order.append("step")
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


def test_several_are_taken_on_all_or_none(new_bench: Callable[[], Bench]) -> None:
    setup = Setup(new_bench(), max_rows=2, max_queue=1)

    async def run() -> None:
        await setup.engine.start(lambda: setup.bench.scheduler)
        request = setup.request(4)
        one = setup.engine.generate(request)
        with pytest.raises(Overloaded):
            setup.engine.generate_all([request] * 3)
        assert setup.engine.pending == 1
        others = setup.engine.generate_all([request] * 2)
        for generation in (one, *others):
            events = [event async for event in generation.events()]
            assert isinstance(events[-1], Finished)
            generation.close()
        assert setup.engine.pending == 0
        await setup.engine.stop()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


@asynccontextmanager
async def held(engine: Engine) -> AsyncIterator[None]:
    """The engine thread is busy with a job, so that what is asked meanwhile waits in order."""
    begun, end = threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return end.wait(LIMIT_S)

    job = asyncio.create_task(engine.run(wait))
    assert await asyncio.to_thread(begun.wait, LIMIT_S)
    yield
    end.set()
    assert await job


class TestJobs:
    """Callables on the engine thread, between two steps."""

    def test_its_result_or_error_comes_back(self, new_bench: Callable[[], Bench]) -> None:
        setup = Setup(new_bench())

        def fail() -> None:
            raise KeyError("no such adapter")

        async def run() -> None:
            await setup.engine.start(lambda: setup.bench.scheduler)
            thread = await setup.engine.run(threading.current_thread)
            assert thread.name == "engine"
            with pytest.raises(KeyError, match="no such adapter"):
                await setup.engine.run(fail)
            assert await setup.engine.run(lambda: 3) == 3
            await setup.engine.stop()
            with pytest.raises(WorkerUnavailable):
                await setup.engine.run(lambda: 4)

        asyncio.run(asyncio.wait_for(run(), LIMIT_S))

    def test_many_do_not_starve_the_rows(self, new_bench: Callable[[], Bench]) -> None:
        setup = Setup(new_bench())
        order: list[str] = []
        counted = cast(Scheduler, Counted(setup.bench.scheduler, order))

        async def run() -> None:
            await setup.engine.start(lambda: counted)
            async with held(setup.engine):
                answer = asyncio.create_task(collect(setup.engine, setup.request(12)))
                jobs = [
                    asyncio.create_task(setup.engine.run(lambda: order.append("job")))
                    for _ in range(30)
                ]
                await asyncio.sleep(0)
            await asyncio.gather(answer, *jobs)
            await setup.engine.stop()

        asyncio.run(asyncio.wait_for(run(), LIMIT_S))
        steps = order.count("step")
        assert steps >= 12
        assert order == ["job", "step"] * steps + ["job"] * (30 - steps)

    def test_one_that_nobody_waits_for_is_not_run(self, new_bench: Callable[[], Bench]) -> None:
        setup = Setup(new_bench())
        ran: list[int] = []

        async def run() -> None:
            await setup.engine.start(lambda: setup.bench.scheduler)
            async with held(setup.engine):
                left = asyncio.create_task(setup.engine.run(lambda: ran.append(1)))
                await asyncio.sleep(0)
                left.cancel()
                await asyncio.wait([left])
            await setup.engine.run(lambda: None)
            await setup.engine.stop()

        asyncio.run(asyncio.wait_for(run(), LIMIT_S))
        assert ran == []

    def test_those_that_wait_fail_when_the_engine_stops(
        self, new_bench: Callable[[], Bench]
    ) -> None:
        setup = Setup(new_bench())

        async def run() -> None:
            await setup.engine.start(lambda: setup.bench.scheduler)
            async with held(setup.engine):
                jobs = [asyncio.create_task(setup.engine.run(lambda: None)) for _ in range(3)]
                await asyncio.sleep(0)
                stopping = asyncio.create_task(setup.engine.stop())
                await asyncio.sleep(0)
            await stopping
            for job in jobs:
                with pytest.raises(EngineFailed):
                    await job

        asyncio.run(asyncio.wait_for(run(), LIMIT_S))

    def test_those_that_wait_fail_when_the_engine_dies(
        self, new_bench: Callable[[], Bench], caplog: pytest.LogCaptureFixture
    ) -> None:
        setup = Setup(new_bench())
        broken = cast(Scheduler, Broken(setup.bench.scheduler))

        async def run() -> None:
            await setup.engine.start(lambda: broken)
            async with held(setup.engine):
                answer = asyncio.create_task(collect(setup.engine, setup.request(50)))
                jobs = [asyncio.create_task(setup.engine.run(lambda: 1)) for _ in range(5)]
                await asyncio.sleep(0)
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert results[:2] == [1, 1]
            assert all(isinstance(result, EngineFailed) for result in results[2:])
            assert isinstance((await answer)[-1], Failed)

        asyncio.run(asyncio.wait_for(run(), LIMIT_S))
        assert setup.deaths == 1
        assert "out of memory" in caplog.text
