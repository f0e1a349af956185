"""Throughput of the worker's scheduler inside this process: no HTTP, no threads.

Four schedulers hold the same base: one as mlx-lm loads it, three with LoRA layers. In a
round each is filled with rows that run for a fixed number of tokens, and once all rows
decode the four take single steps in turn: a machine whose speed drifts within seconds, as
a shared one does, then drifts under all of them alike. Imports MLX: see ``bench.engine``
for what must come before.
"""

import gc
import itertools
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generation_stream

from bench.rounds import Round, Sample
from fleet.load import load_fleet
from worker.engine.observer import Silent
from worker.engine.request import GenerationRequest, SamplingParams
from worker.engine.row import Row
from worker.engine.scheduler import PREFILL_ROWS
from worker.engine.text import TextStream
from worker.load import Loaded, load_worker

GREEDY = SamplingParams(temperature=0.0)
VARIANTS = ("base", "idle", "single", "mixed")


class Bench:
    """One base, bare and with its adapters, in four variants."""

    def __init__(self, bare: Path, full: Path, base: str, blas: str) -> None:
        fleets = {name: load_fleet(bare if name == "base" else full) for name in VARIANTS}
        self._loaded = {
            name: load_worker(fleet, base, blas, Silent()) for name, fleet in fleets.items()
        }
        self._adapters = list(self._loaded["mixed"].resident.adapters)[:10]
        self._ids = itertools.count()
        self._random = np.random.default_rng(0)

    def round(self, number: int, rows: int, tokens: int, prompt_tokens: int) -> Round:
        """One round of all variants; each round begins with another one."""
        turn = number % len(VARIANTS)
        order = [*VARIANTS[turn:], *VARIANTS[:turn]]
        # rows join in turns of PREFILL_ROWS: the first ones must still run when the last joined
        limit = tokens + 8 + 4 * -(-rows // PREFILL_ROWS)
        runs = {
            name: _Run(self._loaded[name], self._rows(name, rows, limit, prompt_tokens))
            for name in order
        }
        gc.collect()
        for run in runs.values():
            run.join()
        for _ in range(tokens):
            for run in runs.values():
                run.decode_step()
        for run in runs.values():
            run.drain()
        return {name: runs[name].sample(limit) for name in VARIANTS}

    def close(self) -> None:
        for loaded in self._loaded.values():
            loaded.scheduler.close()

    def _rows(self, variant: str, rows: int, limit: int, prompt_tokens: int) -> list[Row]:
        """base: no LoRA layers. idle: LoRA layers, bare rows. single: all rows one adapter.
        mixed: ten adapters and the bare base in turn."""
        turns: list[str | None] = [*self._adapters, None]
        adapters: dict[str, list[str | None]] = {
            "base": [None] * rows,
            "idle": [None] * rows,
            "single": [self._adapters[0]] * rows,
            "mixed": list(itertools.islice(itertools.cycle(turns), rows)),
        }
        loaded = self._loaded[variant]
        return [self._row(loaded, adapter, limit, prompt_tokens) for adapter in adapters[variant]]

    def _row(self, loaded: Loaded, adapter: str | None, limit: int, prompt_tokens: int) -> Row:
        number = next(self._ids)
        vocabulary = loaded.base.vocabulary
        prompt = self._random.integers(16, vocabulary, prompt_tokens).tolist()
        # another first token each time, so that no stored prefix is found
        prompt[0] = 16 + number % (vocabulary - 16)
        request = GenerationRequest(prompt, adapter, limit, GREEDY, ignore_eos=True)
        special = frozenset(loaded.tokenizer.all_special_ids)
        text = TextStream(loaded.tokenizer.detokenizer, special, ())
        return Row(number, request, _ignore, text, time.monotonic())


class _Run:
    """One variant's rows within a round, and the time of their steps."""

    def __init__(self, loaded: Loaded, rows: Sequence[Row]) -> None:
        self._scheduler = loaded.scheduler
        self._rows = rows
        self._outside_s = 0.0
        self._steps_s: list[float] = []

    def join(self) -> None:
        """Submit all rows, and step until all decode."""
        begun = time.perf_counter()
        for row in self._rows:
            self._scheduler.submit(row)
        while any(row.state != "decode" for row in self._rows):
            self._scheduler.step()
        self._outside_s += time.perf_counter() - begun

    def decode_step(self) -> None:
        before = sum(row.generated_tokens for row in self._rows)
        begun = time.perf_counter()
        self._scheduler.step()
        # mlx-lm computes the next step in the background: it must not run into another's turn
        mx.synchronize(generation_stream)
        self._steps_s.append(time.perf_counter() - begun)
        made = sum(row.generated_tokens for row in self._rows) - before
        assert made == len(self._rows), "a row ended inside the timed window"

    def drain(self) -> None:
        """Step until all rows have ended."""
        begun = time.perf_counter()
        while self._scheduler.busy:
            self._scheduler.step()
        self._outside_s += time.perf_counter() - begun

    def sample(self, limit: int) -> Sample:
        """Decode by the median step; the whole is all steps and what is around them."""
        assert all(row.generated_tokens == limit for row in self._rows)
        whole_s = self._outside_s + sum(self._steps_s)
        return {
            "decode_tokens_per_s": len(self._rows) / statistics.median(self._steps_s),
            "whole_tokens_per_s": limit * len(self._rows) / whole_s,
            "step_median_s": statistics.median(self._steps_s),
            "whole_s": whole_s,
        }


def _ignore(_: object) -> None:
    """A sink for events nobody reads."""
