"""Throughput of the worker's scheduler inside this process: no HTTP, no threads.

Two schedulers hold the same base: one over the base as mlx-lm loads it, one with LoRA layers.
A measurement fills one of them with rows that run for a fixed number of tokens. Decode is
timed over steps in which all rows decode; the whole from the first request to the last token.
Imports MLX: see ``bench.engine`` for what must come before.
"""

import gc
import itertools
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.rounds import Measure, Sample
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
    """One base, bare and with its adapters; ``measures`` are the four variants."""

    def __init__(self, bare: Path, full: Path, base: str, blas: str) -> None:
        self._bare = load_worker(load_fleet(bare), base, blas, Silent())
        self._full = load_worker(load_fleet(full), base, blas, Silent())
        self._adapters = list(self._full.resident.adapters)[:10]
        self._ids = itertools.count()
        self._random = np.random.default_rng(0)

    def measures(self, rows: int, tokens: int, prompt_tokens: int) -> dict[str, Measure]:
        """base: no LoRA layers. idle: LoRA layers, bare rows. single: all rows one adapter.
        mixed: ten adapters and the bare base in turn."""
        turns: list[str | None] = [*self._adapters, None]
        plans: dict[str, tuple[Loaded, list[str | None]]] = {
            "base": (self._bare, [None] * rows),
            "idle": (self._full, [None] * rows),
            "single": (self._full, [self._adapters[0]] * rows),
            "mixed": (self._full, list(itertools.islice(itertools.cycle(turns), rows))),
        }
        return {
            name: partial(self._measure, loaded, adapters, tokens, prompt_tokens)
            for name, (loaded, adapters) in plans.items()
        }

    def close(self) -> None:
        self._bare.scheduler.close()
        self._full.scheduler.close()

    def _measure(
        self, loaded: Loaded, adapters: Sequence[str | None], tokens: int, prompt_tokens: int
    ) -> Sample:
        # rows join in turns of PREFILL_ROWS: the first ones must still run when the last joined
        limit = tokens + 8 + 4 * -(-len(adapters) // PREFILL_ROWS)
        rows = [self._row(loaded, adapter, limit, prompt_tokens) for adapter in adapters]
        gc.collect()
        begun = time.perf_counter()
        for row in rows:
            loaded.scheduler.submit(row)
        while any(row.state != "decode" for row in rows):
            loaded.scheduler.step()
        joined = time.perf_counter()
        before = sum(row.generated_tokens for row in rows)
        for _ in range(tokens):
            loaded.scheduler.step()
        decoded = time.perf_counter()
        made = sum(row.generated_tokens for row in rows) - before
        while loaded.scheduler.busy:
            loaded.scheduler.step()
        ended = time.perf_counter()
        assert made == tokens * len(rows), "a row ended inside the timed window"
        assert all(row.generated_tokens == limit for row in rows)
        return {
            "decode_tokens_per_s": made / (decoded - joined),
            "whole_tokens_per_s": limit * len(rows) / (ended - begun),
            "join_s": joined - begun,
            "decode_s": decoded - joined,
            "whole_s": ended - begun,
        }

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


def _ignore(_: object) -> None:
    """A sink for events nobody reads."""
