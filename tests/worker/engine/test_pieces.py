"""What is done in pieces between steps, and fails, or is still under way when the engine ends."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.worker.conftest import Bench, Watch
from tests.worker.engine.test_engine import LIMIT_S, Setup, collect
from tests.worker.residency.adapter_files import random_fleet, write_adapter
from wire.errors import EngineFailed
from worker.engine.engine import Engine
from worker.engine.request import Event, Failed, Finished, GenerationRequest, SamplingParams
from worker.load import load_worker
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.targets import linear_layers
from worker.pieces import Pieces

NewBench = Callable[..., Bench]


@pytest.fixture
def bench_with(tmp_path: Path) -> NewBench:
    """Makes benches of adapters a, b, ... on so many slots; ``new`` is on disk besides."""
    write_adapter(tmp_path / "new", 99)

    def make(names: str, slots: int) -> Bench:
        sources = {name: write_adapter(tmp_path / name, n) for n, name in enumerate(names)}
        watch = Watch()
        return Bench(load_worker(random_fleet(sources, slots), "apertus", "test", watch), watch)

    return make


def new_files(bench: Bench, tmp_path: Path) -> AdapterFiles:
    return read_adapter("new", tmp_path / "new", linear_layers(bench.base.model))


def request_of(setup: Setup, adapter: str | None, max_tokens: int) -> GenerationRequest:
    prompt = setup.bench.prompt("hello")
    return GenerationRequest(prompt, adapter, max_tokens, SamplingParams(0), (), ignore_eos=True)


async def answers(setup: Setup, *adapters: str | None, max_tokens: int) -> list[list[Event]]:
    calls = [collect(setup.engine, request_of(setup, name, max_tokens)) for name in adapters]
    return await asyncio.gather(*calls)


def terminals(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, Finished | Failed)]


async def until_decoding(engine: Engine, bench: Bench, count: int) -> None:
    while sum(row.state == "decode" for row in bench.scheduler.running) < count:
        await engine.run(lambda: None)


def break_at(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, call: int) -> None:
    """The call of this number raises, as MLX does when memory runs out."""
    inner, calls = getattr(holder, name), iter(range(1, 1 << 20))

    def broken(*args: Any) -> Any:
        if next(calls) == call:
            raise RuntimeError("out of memory")
        return inner(*args)

    monkeypatch.setattr(holder, name, broken)


class Endless:
    """Pieces until ``end`` is set; ``begun`` says that one was done."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def pieces(self) -> Pieces[str]:
        while not self.end.is_set():
            yield
            self.begun.set()
        return "done"


@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("name", ["_write_gains", "logits_by_layer"])
def test_a_load_that_fails_half_way_is_told_and_others_go_on(
    bench_with: NewBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int, name: str
) -> None:
    setup = Setup(bench_with("ab", slots))
    paging, model = setup.bench.loaded.paging, setup.bench.scheduler._model
    files = new_files(setup.bench, tmp_path)

    async def run() -> None:
        await setup.engine.start(lambda: setup.bench.scheduler)
        alone = await answers(setup, None, "a", "b", max_tokens=40)
        running = asyncio.create_task(answers(setup, None, "a", "b", max_tokens=40))
        await until_decoding(setup.engine, setup.bench, 3)
        break_at(monkeypatch, model, name, 1 if name == "logits_by_layer" else 3)
        with pytest.raises(RuntimeError, match="out of memory"):
            await setup.engine.run_pieces(paging.loading(files))
        assert paging.tier_of(files.digest) == "disk"
        version = await setup.engine.run_pieces(paging.loading(files))
        assert version.effect > 0.01
        assert paging.tier_of(files.digest) == ("resident" if slots == 2 else "slot")
        assert [_text(events) for events in await running] == [_text(e) for e in alone]
        assert not setup.engine.dead
        await setup.engine.stop()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def _text(events: list[Event]) -> str:
    (end,) = terminals(events)
    assert isinstance(end, Finished)
    return "".join(getattr(event, "text", "") for event in events)


def test_a_row_whose_put_fails_half_way_is_the_death_of_the_engine(
    bench_with: NewBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Setup(bench_with("abc", 2))
    endless = Endless()

    async def run() -> list[list[Event]]:
        await setup.engine.start(lambda: setup.bench.scheduler)
        running = asyncio.create_task(answers(setup, None, "a", max_tokens=400))
        await until_decoding(setup.engine, setup.bench, 2)
        job = asyncio.create_task(setup.engine.run_pieces(endless.pieces()))
        assert await asyncio.to_thread(endless.begun.wait, LIMIT_S)
        break_at(monkeypatch, setup.bench.scheduler._model, "_write_gains", 3)
        late = await answers(setup, "c", "c", None, max_tokens=400)
        with pytest.raises(EngineFailed):
            await job
        return [*late, *await running]

    for events in asyncio.run(asyncio.wait_for(run(), LIMIT_S)):
        (end,) = terminals(events)
        assert events[-1] is end
        assert isinstance(end, Failed)
    assert setup.deaths == 1
    assert setup.engine.dead
    assert "out of memory" in caplog.text


def test_one_that_is_under_way_when_the_engine_stops_is_told(bench_with: NewBench) -> None:
    setup = Setup(bench_with("a", 1))
    endless = Endless()

    async def run() -> None:
        await setup.engine.start(lambda: setup.bench.scheduler)
        running = asyncio.create_task(answers(setup, "a", max_tokens=400))
        await until_decoding(setup.engine, setup.bench, 1)
        job = asyncio.create_task(setup.engine.run_pieces(endless.pieces()))
        assert await asyncio.to_thread(endless.begun.wait, LIMIT_S)
        await setup.engine.stop()
        with pytest.raises(EngineFailed):
            await job
        ((end,),) = [terminals(events) for events in await running]
        assert isinstance(end, Failed)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_an_idle_engine_takes_requests_while_one_is_under_way(bench_with: NewBench) -> None:
    setup = Setup(bench_with("a", 1))
    endless = Endless()

    async def run() -> None:
        await setup.engine.start(lambda: setup.bench.scheduler)
        job = asyncio.create_task(setup.engine.run_pieces(endless.pieces()))
        assert await asyncio.to_thread(endless.begun.wait, LIMIT_S)
        for events in await answers(setup, "a", None, max_tokens=6):
            assert isinstance(terminals(events)[0], Finished)
        left = setup.engine.generate(request_of(setup, "a", 400))
        left.close()
        assert not job.done()
        endless.end.set()
        assert await job == "done"
        await setup.engine.stop()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    assert setup.engine.pending == 0


def test_a_row_waits_for_the_only_slot_while_a_load_holds_it(
    bench_with: NewBench, tmp_path: Path
) -> None:
    bench = bench_with("ab", 1)
    paging, registry = bench.loaded.paging, bench.loaded.resident.registry
    gone = registry.remove("a")
    assert gone is not None
    paging.retire(gone.digest)
    pieces = paging.loading(new_files(bench, tmp_path))
    next(pieces)
    row = bench.submit(adapter="b")
    bench.step()
    bench.step()
    assert bench.events[row] == []
    for _ in pieces:
        assert cast(Any, bench.scheduler).busy
    bench.run()
    assert bench.finished(row).reason == "length"


def test_the_end_of_a_load_lets_rows_go_while_another_row_waits_for_a_read(
    bench_with: NewBench, tmp_path: Path
) -> None:
    setup = Setup(bench_with("abc", 1))
    loaded, scheduler = setup.bench.loaded, setup.bench.scheduler
    files = new_files(setup.bench, tmp_path)
    reading = threading.Event()

    def load() -> Pieces[str]:
        pieces = loaded.paging.loading(files)
        next(pieces)
        while not (len(scheduler.waiting) == 2 and scheduler._stalled):
            yield
        yield from pieces
        return "loaded"

    async def run() -> None:
        await setup.engine.start(lambda: scheduler)
        loaded.loader.run(lambda: reading.wait(LIMIT_S), lambda _: None)
        gone, unread = (loaded.resident.registry.versions[name] for name in "ac")
        await setup.engine.run(lambda: loaded.paging.retire(gone.digest))
        await setup.engine.run(lambda: loaded.paging._host.drop(unread.digest))
        job = asyncio.create_task(setup.engine.run_pieces(load()))
        last = asyncio.create_task(answers(setup, "c", max_tokens=4))
        first = asyncio.create_task(answers(setup, "b", max_tokens=4))
        assert await job == "loaded"
        assert isinstance(terminals((await first)[0])[0], Finished)
        assert not last.done()
        reading.set()
        assert isinstance(terminals((await last)[0])[0], Finished)
        await setup.engine.stop()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
