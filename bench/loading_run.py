"""Rows that decode, with and without adapters that are loaded and unloaded beside them.

The engine on its thread, the loader on its own, as in a worker; no HTTP. The gap between two steps
is the gap between the tokens of every row. Needs a process whose BLAS is chosen already.
"""

import asyncio
import gc
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from fleet.load import load_fleet
from worker.engine.engine import Engine
from worker.engine.observer import Silent
from worker.engine.request import GenerationRequest, SamplingParams
from worker.engine.scheduler import Scheduler
from worker.engine.text import TextStream
from worker.load import Loaded, load_worker
from worker.server.adapters import Adapters, LoadRequest, UnloadRequest

GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True)
class Window:
    """One stretch of time. ``gaps_s``: between steps. ``bytes``: MLX's, at the end."""

    gaps_s: list[float]
    loads: int
    load_s: list[float]
    bytes: int

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.gaps_s, q))


class _Steps(Silent):
    def __init__(self) -> None:
        self.at_s: list[float] = []

    def on_step(self, rows: int, distinct_adapters: int) -> None:
        self.at_s.append(time.perf_counter())

    def start_at_zero(self, adapters: list[str]) -> None: ...


class LoadingBench:
    """A worker without its HTTP, and rows that never end; use as an async context."""

    loaded: Loaded

    def __init__(self, fleet: Path, rows: int, coming: Sequence[Path], tokens: int) -> None:
        self._fleet = load_fleet(fleet)
        (self._base,) = self._fleet.bases
        self._rows = rows
        self._coming = coming
        self._tokens = tokens
        self._steps = _Steps()
        self._ids = itertools.count()
        self._random = np.random.default_rng(0)
        self._engine = Engine(rows, rows, self._text, lambda: None)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "LoadingBench":
        await self._engine.start(self._load)
        self._adapters = Adapters(self._engine, self.loaded, self._steps)
        names = [None, *self.loaded.resident.adapters]
        for number in range(self._rows):
            name = names[number % len(names)]
            self._tasks.append(asyncio.create_task(self._client(name)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.stop()

    async def window(self, seconds: float, *, loading: bool) -> Window:
        """So long, with or without a load and an unload after another all the time."""
        begun, end_s, took = len(self._steps.at_s), time.perf_counter() + seconds, list[float]()
        while (now_s := time.perf_counter()) < end_s:
            if not loading:
                await asyncio.sleep(end_s - now_s)
                continue
            number = next(self._ids)
            path = self._coming[number % len(self._coming)]
            name = f"coming{number % len(self._coming)}"
            await self._adapters.load(LoadRequest(lora_name=name, lora_path=str(path)))
            took.append(time.perf_counter() - now_s)
            await self._adapters.unload(UnloadRequest(lora_name=name))
        gaps = np.diff(self._steps.at_s[begun:]).tolist()
        held = await self._engine.run(_bytes)
        return Window(gaps, len(took), took, held)

    async def _client(self, adapter: str | None) -> None:
        while True:
            prompt = self._random.integers(16, self.loaded.base.vocabulary, 32).tolist()
            # rows end at different times
            tokens = int(self._random.integers(self._tokens // 2, self._tokens))
            request = GenerationRequest(prompt, adapter, tokens, GREEDY, ignore_eos=True)
            generation = self._engine.generate(request)
            try:
                async for _ in generation.events():
                    pass
            finally:
                generation.close()

    def _load(self) -> Scheduler:
        self.loaded = load_worker(self._fleet, self._base, "", self._steps)
        return self.loaded.scheduler

    def _text(self, request: GenerationRequest) -> TextStream:
        tokenizer: Any = self.loaded.tokenizer
        return TextStream(tokenizer.detokenizer, frozenset(tokenizer.all_special_ids), ())


def _bytes() -> int:
    gc.collect()
    return mx.get_active_memory()
