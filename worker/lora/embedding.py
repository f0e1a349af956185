"""Embeddings whose rows each use their own adapter.

``LoRAEmbedding`` wraps the base's table, plain or quantised, and adds ``A[slot][token] @
B[slot]`` to what a token looks up. Where the base makes its logits with the same table (tied),
it adds ``(h @ B[slot].T) @ A[slot].T`` for the adapters that were trained so. Refuses DoRA: its
files are not read. All of it belongs to the engine thread.
"""

from typing import Any, cast

import mlx.core as mx
from mlx import nn

from worker.lora.files import Factors
from worker.lora.layers import Output, SharedInput, padded
from worker.lora.rows import Active

_HEAD = "head"


class TableFactors:
    """The factors of one table. A, (vocabulary, rank) in each lane, is held once: tokens look it
    up, and tied logits multiply with it. B is held twice, the second time only of adapters that
    change tied logits."""

    def __init__(self, shape: tuple[int, int], slots: int, active: Active, dtype: mx.Dtype) -> None:
        vocabulary, wide = shape
        self._active = active
        self._a = Output(vocabulary, slots, active, dtype, turned=True)
        self._b = Output(wide, slots, active, dtype)
        self._tied = SharedInput(wide, active, dtype)
        self._tied.add(_HEAD, 0)

    @property
    def parts(self) -> tuple[Output | SharedInput, ...]:
        return self._a, self._b, self._tied

    def put(self, rank: int, lane: int, capacity: int, factors: Factors | None) -> None:
        """Set one adapter's; None: it does not target this table. Evaluated."""
        a = None if factors is None else padded(factors.a.T, rank)
        # scaled in float32, before the cast to the activation dtype
        b = None if factors is None else padded(factors.b * factors.scale, rank)
        tied = None if factors is None or factors.tied is None else factors.tied * factors.scale
        self._a.put(rank, lane, capacity, a)
        self._b.put(rank, lane, capacity, b)
        head = {} if tied is None else {_HEAD: padded(tied, rank)}
        self._tied.put(rank, lane, capacity, head)
        mx.eval([part.buckets[rank].stored for part in self.parts if rank in part.buckets])

    def looked_up(self, tokens: mx.array) -> mx.array | None:
        """What is added to the embeddings of tokens (batch, seq): (batch, seq, wide)."""
        return self._b.delta([self._rows(tokens, at) for at in range(len(self._active.groups))])

    def logits(self, h: mx.array) -> mx.array | None:
        """What is added to tied logits of states (batch, seq, wide): (batch, seq, vocabulary)."""
        return self._a.delta(self._tied.part(h, _HEAD))

    def strongest(self, rank: int, lane: int, count: int) -> mx.array | None:
        """The tokens with the largest numbers in A, at most ``count``: (tokens,)."""
        if rank not in self._a.buckets:
            return None
        sizes = mx.abs(self._a.buckets[rank].stored[lane : lane + 1]).max(axis=(0, 2))
        return mx.argsort(-sizes)[:count]

    def _rows(self, tokens: mx.array, at: int) -> mx.array | None:
        group = self._active.groups[at]
        lanes = self._a.buckets.get(group.rank)
        if lanes is None:
            return None
        return lanes.at(tokens if group.rows is None else tokens[group.rows], group)


class LoRAEmbedding(nn.Module):
    """The base's embeddings plus, for every row, the adapter of that row."""

    def __init__(self, table: nn.Module, factors: TableFactors, active: Active) -> None:
        super().__init__()
        self.table = table
        # in a tuple, so that the factors are not parameters of the base model
        self._lora = (factors, active)

    @property
    def weight(self) -> mx.array:
        """The base's own: some models (mlx-lm 0.32: llama4, minicpm, seed_oss) make tied logits
        with it, which mlx-lm's own LoRA layer can't, and PEFT does without the delta."""
        return cast(Any, self.table).weight

    def __call__(self, tokens: mx.array) -> mx.array:
        factors, active = self._lora
        y = self.table(tokens)
        delta = None if active.plan.case == "none" else factors.looked_up(tokens)
        return y if delta is None else y + delta

    def as_linear(self, h: mx.array) -> mx.array:
        """Logits of states (batch, seq, wide), where the base is tied."""
        factors, active = self._lora
        y = cast(Any, self.table).as_linear(h)
        delta = None if active.plan.case == "none" else factors.logits(h)
        return y if delta is None else y + delta
