"""A closed loop of requests over one scheduler: so many rows at a time, adapters drawn at random.

Figures of one run: requests and tokens a second, and the time to the first token of rows whose
adapter was in a slot when they came, and of those that had to wait for one. Needs a process whose
BLAS is chosen already.
"""

import itertools
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fleet.load import load_fleet
from worker.engine.observer import Silent
from worker.engine.request import GenerationRequest, SamplingParams
from worker.engine.row import Row
from worker.engine.text import TextStream
from worker.load import load_worker

GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True)
class Load:
    """What is asked of one fleet. Lengths are drawn from half of what is said to one and a half:
    were all alike, all rows would end, and be prefilled, at once."""

    rows: int
    requests: int
    prompt_tokens: int
    tokens: int


@dataclass
class Sample:
    """One run."""

    took_s: float = 0.0
    requests: int = 0
    slot_loads: int = 0
    first_token_s: dict[str, list[float]] = field(default_factory=lambda: {"slot": [], "paged": []})

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.took_s

    def first_token(self, tier: str, quantile: float) -> float | None:
        found = self.first_token_s[tier]
        return float(np.quantile(found, quantile)) if found else None


class _Watch(Silent):
    def __init__(self) -> None:
        self.slot_loads = 0

    def on_slot_load(self) -> None:
        self.slot_loads += 1


class PagingBench:
    """One fleet, loaded once."""

    def __init__(self, fleet: Path, base: str, blas: str, seed: int = 0) -> None:
        self._watch = _Watch()
        self._loaded = load_worker(load_fleet(fleet), base, blas, self._watch)
        self._adapters = list(self._loaded.resident.adapters)
        self._random = np.random.default_rng(seed)
        self._ids = itertools.count()
        self._woken = threading.Event()
        self._loaded.scheduler.wake_with(self._woken.set)

    def run(self, load: Load) -> Sample:
        """All requests of one load, each adapter as likely as any other."""
        scheduler, sample = self._loaded.scheduler, Sample(requests=load.requests)
        loads_before = self._watch.slot_loads
        waiting_first: dict[int, tuple[Row, str]] = {}
        live: list[Row] = []
        left = load.requests
        begun_s = time.perf_counter()
        while left or live:
            while left and len(live) < load.rows:
                row, tier = self._row(load)
                scheduler.submit(row)
                live.append(row)
                waiting_first[row.id] = (row, tier)
                left -= 1
            self._woken.clear()
            if not scheduler.busy:
                self._woken.wait(30)
            scheduler.step()
            now_s = time.monotonic()
            for row, tier in [*waiting_first.values()]:
                if row.generated_tokens:
                    sample.first_token_s[tier].append(now_s - row.submitted_s)
                    del waiting_first[row.id]
            live = [row for row in live if row.state != "ended"]
        sample.took_s = time.perf_counter() - begun_s
        sample.slot_loads = self._watch.slot_loads - loads_before
        return sample

    def close(self) -> None:
        self._loaded.scheduler.close()

    def _about(self, length: int) -> int:
        return int(self._random.integers((length + 1) // 2, length * 3 // 2 + 1))

    def _row(self, load: Load) -> tuple[Row, str]:
        number, vocabulary = next(self._ids), self._loaded.base.vocabulary
        name = self._adapters[int(self._random.integers(len(self._adapters)))]
        digest = self._loaded.resident.adapters[name].digest
        tier = "slot" if self._loaded.paging.tier_of(digest) == "slot" else "paged"
        prompt = self._random.integers(16, vocabulary, self._about(load.prompt_tokens)).tolist()
        # another first token each time, so that no stored prefix is found
        prompt[0] = 16 + number % (vocabulary - 16)
        request = GenerationRequest(prompt, name, self._about(load.tokens), GREEDY, ignore_eos=True)
        special = frozenset(self._loaded.tokenizer.all_special_ids)
        text = TextStream(self._loaded.tokenizer.detokenizer, special, ())
        return Row(number, request, lambda _: None, text, time.monotonic()), tier
