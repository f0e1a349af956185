"""The batches of ``bench.ranks``. Imports MLX: see there for what must come before."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from bench.models import BenchModel
from bench.ranks import RANKS
from fleet.load import load_fleet
from worker.base import load_base
from worker.lora.files import AdapterFiles, Factors
from worker.lora.model import AdapterModel, linear_layers
from worker.lora.slots import BatchSlots

EACH = 4  # adapters of each rank
PROMPT_TOKENS = 64
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")


class Batches:
    """The same rows on the bare base, on adapters of one rank, and on those of all ranks."""

    def __init__(self, bench: BenchModel, rows: int) -> None:
        fleet = load_fleet(bench.bare)
        self._base = load_base(
            bench.base, fleet.resolve(fleet.bases[bench.base].model), "float32", None
        )
        self._rows = rows
        self._model = AdapterModel(self._base.model, 4 * EACH * len(RANKS), mx.float32)
        slot = 0
        self._slots: dict[str, list[int]] = {"base": [0]}
        for rank in RANKS:
            self._slots[f"rank {rank}"] = [*range(slot + 1, slot + EACH + 1)]
            slot = self._put(slot, [rank] * EACH, rank)
        self._slots["ranks 8, 16, 64"] = [
            at + i * EACH for at in range(1, EACH + 1) for i in range(len(RANKS))
        ]
        self._slots["padded"] = [*range(slot + 1, slot + EACH * len(RANKS) + 1)]
        self._put(slot, list(RANKS) * EACH, max(RANKS))

    def decode(self) -> dict[str, Callable[[], None]]:
        """One step of every batch."""
        caches = {name: self._prefilled() for name in self._slots}
        tokens = mx.array([[7]] * self._rows)
        return {
            name: self._call(tokens, cache, self._of_rows(name)) for name, cache in caches.items()
        }

    def prefill(self) -> dict[str, Callable[[], None]]:
        """A prompt of every row."""
        tokens = mx.array([[9 + i for i in range(PROMPT_TOKENS)]] * self._rows)

        def call(slots: list[int]) -> None:
            self._call(tokens, self._empty(), slots)()

        return {name: partial(call, self._of_rows(name)) for name in self._slots}

    def _call(self, tokens: mx.array, cache: list[Any], slots: list[int]) -> Callable[[], None]:
        return lambda: mx.eval(self._model(tokens, cache=[*cache, BatchSlots(slots)]))

    def _of_rows(self, name: str) -> list[int]:
        slots = self._slots[name]
        return [slots[i % len(slots)] for i in range(self._rows)]

    def _empty(self) -> list[Any]:
        return [one.merge([one] * self._rows) for one in make_prompt_cache(self._base.model)]

    def _prefilled(self) -> list[Any]:
        cache = self._empty()
        self._call(mx.array([[5] * 32] * self._rows), cache, [0] * self._rows)()
        return cache

    def _put(self, slot: int, ranks: Sequence[int], padded: int) -> int:
        for rank in ranks:
            slot += 1
            self._model.put(slot, self._random(slot, rank, padded))
        return slot

    def _random(self, seed: int, rank: int, padded: int) -> AdapterFiles:
        """An adapter of this rank, its factors padded with zeros."""
        key = mx.random.key(seed)
        factors: dict[str, Factors] = {}
        for path, (wide_in, wide_out) in linear_layers(self._base.model).items():
            if path.rpartition(".")[2] in TARGETS:
                key, one, other = mx.random.split(key, 3)
                more = [(0, padded - rank)]
                a = mx.pad(mx.random.normal((wide_in, rank), key=one) * 0.02, [(0, 0), *more])
                b = mx.pad(mx.random.normal((rank, wide_out), key=other) * 0.02, [*more, (0, 0)])
                factors[path] = Factors(a, b, 1.0)
        return AdapterFiles(f"random{seed}", Path(), "mlx", str(seed), rank, factors)
