"""A base with many adapters, as mlx-lm's ``BatchGenerator`` wants a model to be.

Unpatched mlx-lm: layers that an adapter targets are replaced in place by ``LoRALinear`` when
the first such adapter is put into a slot, and a thin wrapper takes the slots off the cache
list before the base sees it. Adapters come and go between two forward passes, on the engine
thread; refuses to know which of them have a name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

from worker.lora.buckets import Buckets, Place, bucket_of
from worker.lora.dora import gain_of
from worker.lora.files import AdapterFiles, Factors
from worker.lora.kernels import choose_kernel
from worker.lora.layers import LoRALinear, Output, SharedInput
from worker.lora.rows import Active
from worker.lora.slots import RowSlot
from worker.lora.sums import add_up
from worker.lora.targets import layer_shape, linear_layers, parent_of, shared_input

__all__ = ["AdapterModel", "layer_shape", "linear_layers"]


class AdapterModel:
    """The base, and the adapters in slots 1..``slots``; slot 0 is the bare base."""

    def __init__(self, base: nn.Module, slots: int, dtype: mx.Dtype) -> None:
        self._base = base
        self._slots = slots
        self._dtype = dtype
        self._buckets = Buckets(slots)
        self._inputs: dict[tuple[str, tuple[str, ...]], SharedInput] = {}
        self._outputs: dict[str, Output] = {}
        self.active = Active(choose_kernel(dtype))

    @property
    def nbytes(self) -> int:
        """Of the stacks that hold the factors of all slots."""
        return sum(
            lanes.nbytes
            for part in (*self._inputs.values(), *self._outputs.values())
            for lanes in part.buckets.values()
        ) + sum(output.gains.nbytes for output in self._outputs.values())

    def put(self, slot: int, adapter: AdapterFiles) -> None:
        """The adapter is in this slot from the next forward pass on, instead of what was there.

        No row of a running batch may have the slot. Its own arrays are not kept.
        """
        self._put(slot, adapter.factors)

    def put_sum(self, slot: int, parts: Sequence[tuple[AdapterFiles, float]]) -> None:
        """The sum of the parts' deltas, each times its scale. Raises SourceError for DoRA."""
        self._put(slot, add_up(parts))

    def clear(self, slot: int) -> None:
        """The slot is as the bare base again."""
        place = self.active.placed(slot)
        if place is None:
            return
        self.active.place(slot, None)
        self._buckets.release(place.rank, slot)
        if not self._buckets.capacity(place.rank):
            for part in (*self._inputs.values(), *self._outputs.values()):
                part.buckets.pop(place.rank, None)

    def new_cache(self, slot: int) -> list[Any]:
        """Empty caches for one sequence, with its slot as the last element."""
        return [*make_prompt_cache(self._base), RowSlot(slot)]

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        """Logits (batch, seq, vocabulary); the last element of ``cache`` is ``BatchSlots``."""
        *kv, slots = cache
        self.active.publish(slots.slots)
        return self._base(inputs, cache=kv)

    def logits(self, inputs: mx.array, slot: int) -> mx.array:
        """Logits of one sequence (1, seq) without a cache; for probes."""
        self.active.publish([slot])
        return self._base(inputs)

    def _put(self, slot: int, factors: Mapping[str, Factors]) -> None:
        if not 1 <= slot <= self._slots:
            raise ValueError(f"slot {slot} is not one of 1..{self._slots}")
        rank = bucket_of(max(f.a.shape[1] for f in factors.values()))
        self._leave_other_bucket(slot, rank)
        self._wrap(sorted(factors.keys() - self._outputs.keys()))
        dora = any(f.magnitude is not None for f in factors.values())
        place = Place(rank, self._buckets.lane(rank, slot), dora)
        self._grow(rank)
        self._write(place, factors)
        self._write_gains(slot, factors)
        self.active.place(slot, place)

    def _leave_other_bucket(self, slot: int, rank: int) -> None:
        place = self.active.placed(slot)
        if place is not None and place.rank != rank:
            self.clear(slot)

    def _wrap(self, paths: Sequence[str]) -> None:
        for path in paths:
            parent, leaf = parent_of(self._base, path)
            wide_in, wide_out = layer_shape(parent[leaf])
            key = shared_input(path)
            if key not in self._inputs:
                self._inputs[key] = SharedInput(wide_in, self.active, self._dtype)
            shared, names = self._inputs[key], key[1]
            # members stand in the order in which the blocks call them
            at = sum(names.index(other) < names.index(leaf) for other in shared.members)
            shared.add(leaf, at)
            output = Output(wide_out, self._slots, self.active, self._dtype)
            self._outputs[path] = output
            parent[leaf] = LoRALinear(parent[leaf], leaf, shared, output, self.active)

    def _grow(self, rank: int) -> None:
        """Every stack of a bucket has the same lanes: rows of a batch index all of them."""
        for part in (*self._inputs.values(), *self._outputs.values()):
            if rank in part.buckets:
                part.buckets[rank].grow(self._buckets.capacity(rank))

    def _write(self, place: Place, factors: Mapping[str, Factors]) -> None:
        rank, lane, capacity = place.rank, place.lane, self._buckets.capacity(place.rank)
        for (parent, _), shared in self._inputs.items():
            paths = {member: f"{parent}.{member}".lstrip(".") for member in shared.members}
            a = {m: _padded(factors[p].a.T, rank) for m, p in paths.items() if p in factors}
            shared.put(rank, lane, capacity, a)
        for path, output in self._outputs.items():
            found = factors.get(path)
            # scaled in float32, before the cast to the activation dtype
            b = None if found is None else _padded(found.b * found.scale, rank)
            output.put(rank, lane, capacity, b)
        mx.eval(
            [
                part.buckets[rank].stored
                for part in (*self._inputs.values(), *self._outputs.values())
                if rank in part.buckets
            ]
        )

    def _write_gains(self, slot: int, factors: Mapping[str, Factors]) -> None:
        for path, output in self._outputs.items():
            found = factors.get(path)
            if found is None or found.magnitude is None:
                output.gains.put(slot, None)
                continue
            parent, leaf = parent_of(self._base, path)
            output.gains.put(slot, gain_of(parent[leaf].linear, found))


def _padded(factors: mx.array, rank: int) -> mx.array:
    """(rank of the layer, wide) -> (rank of the bucket, wide)."""
    short = rank - factors.shape[0]
    return mx.pad(factors, [(0, short), (0, 0)]) if short else factors
