"""The embedded apertus base, loaded once for all tests of the worker."""

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.load import load_fleet
from worker.base import textless_ids
from worker.engine.observer import Silent, Stage
from worker.engine.request import (
    Event,
    Failed,
    Finished,
    GenerationRequest,
    Guide,
    SamplingParams,
    Text,
    TokenLogprob,
)
from worker.engine.row import Row
from worker.engine.scheduler import Scheduler
from worker.engine.text import TextStream
from worker.load import Loaded, load_worker
from worker.residency.adapters import AdapterVersion

ROOT = Path(__file__).resolve().parents[2]


class Watch(Silent):
    """Remembers what the engine reported."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.ended: list[tuple[int, str]] = []
        self.cancelled: list[tuple[int, Stage]] = []
        self.slot_loads = 0

    def on_step(self, rows: int, distinct_adapters: int) -> None:
        self.steps.append((rows, distinct_adapters))

    def on_ended(self, row: Row, status: str) -> None:
        self.ended.append((row.id, status))

    def on_cancelled(self, row: Row, stage: Stage) -> None:
        self.cancelled.append((row.id, stage))

    def on_slot_load(self) -> None:
        self.slot_loads += 1


class Bench:
    """A scheduler driven by hand, step by step, with the events of each request."""

    def __init__(self, loaded: Loaded, watch: Watch) -> None:
        self.scheduler: Scheduler = loaded.scheduler
        self.base = loaded.base
        self.tokenizer = loaded.tokenizer
        self.adapters = list(loaded.resident.adapters)
        self.watch = watch
        self.events: dict[int, list[Event]] = {}
        self.rows: dict[int, Row] = {}
        self.loaded = loaded
        self._woken = threading.Event()
        loaded.scheduler.wake_with(self._woken.set)
        self._ids = itertools.count()
        self.special = textless_ids(loaded.tokenizer)

    def prompt(self, text: str) -> list[int]:
        turns = [{"role": "user", "content": text}]
        return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True)

    def submit(
        self,
        text: str = "What is a decoupling capacitor for?",
        adapter: str | None = None,
        *,
        max_tokens: int = 12,
        sampling: SamplingParams | None = None,
        stop: tuple[str, ...] = (),
        ignore_eos: bool = True,
        prompt: list[int] | None = None,
        stop_token_ids: tuple[int, ...] = (),
        guide: Guide | None = None,
        logprobs: int | None = None,
        prompt_logprobs: int | None = None,
        visible: frozenset[int] = frozenset(),
        version: AdapterVersion | None = None,
    ) -> int:
        request = GenerationRequest(
            self.prompt(text) if prompt is None else prompt,
            adapter,
            max_tokens,
            sampling or SamplingParams(temperature=0),
            stop,
            ignore_eos,
            stop_token_ids,
            guide,
            logprobs,
            prompt_logprobs,
            visible,
            version=version,
        )
        stream = TextStream(self.tokenizer.detokenizer, self.special, stop, visible)
        row = Row(next(self._ids), request, lambda _: None, stream, time.monotonic())
        self.events[row.id] = []
        self.rows[row.id] = row
        self.scheduler.submit(row)
        return row.id

    def step(self) -> None:
        for row, events in self.scheduler.step():
            self.events[row.id] += events

    def run(self) -> None:
        while self.scheduler.busy or self.scheduler.waiting:
            self.run_one()

    def run_one(self) -> None:
        """One step, and a wait for what is being read where nothing else can be done."""
        self.step()
        if self.scheduler.waiting and not self.scheduler.busy:
            assert self._woken.wait(30)
        self._woken.clear()

    def text(self, row_id: int) -> str:
        return "".join(e.text for e in self.events[row_id] if isinstance(e, Text))

    def reports(self, row_id: int) -> list[TokenLogprob]:
        return [r for e in self.events[row_id] if isinstance(e, Text) for r in e.tokens]

    def end(self, row_id: int) -> Event:
        terminal = [e for e in self.events[row_id] if isinstance(e, Finished | Failed)]
        assert len(terminal) == 1, "exactly one terminal event"
        assert self.events[row_id][-1] is terminal[0]
        return terminal[0]

    def finished(self, row_id: int) -> Finished:
        end = self.end(row_id)
        assert isinstance(end, Finished)
        return end


@pytest.fixture(scope="session")
def new_bench() -> Callable[[], Bench]:
    """Makes benches over freshly loaded schedulers."""
    fleet = load_fleet(ROOT / "adapters.yaml")

    def make() -> Bench:
        watch = Watch()
        return Bench(load_worker(fleet, "apertus", "test", watch), watch)

    return make


@pytest.fixture(scope="module")
def bench(new_bench: Callable[[], Bench]) -> Bench:
    return new_bench()
