"""A base with many adapters, as mlx-lm's ``BatchGenerator`` wants a model to be.

Unpatched mlx-lm: layers that an adapter targets are replaced in place by ``LoRALinear`` (or
``LoRAEmbedding``) when the first such adapter is put into a slot, and a thin wrapper takes the
slots off the cache list before the base sees it. Adapters come and go between two forward
passes, on the engine thread; refuses to know which of them have a name. A put is done in
pieces, between forward passes of others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

from worker.lora.buckets import Buckets, Place, bucket_of
from worker.lora.dora import gain_of
from worker.lora.embedding import LoRAEmbedding, TableFactors
from worker.lora.files import AdapterFiles, Factors
from worker.lora.kernels import choose_kernel
from worker.lora.layers import LoRALinear, Output, SharedInput, padded
from worker.lora.rows import Active
from worker.lora.slots import RowSlot
from worker.lora.sums import add_up
from worker.lora.targets import (
    InputKey,
    is_table,
    layer_shape,
    linear_layers,
    parent_of,
    shared_input,
)
from worker.pieces import Pieces, whole

__all__ = ["AdapterModel", "layer_shape", "linear_layers"]


class AdapterModel:
    """The base, and the adapters in slots 1..``slots``; slot 0 is the bare base."""

    def __init__(self, base: nn.Module, slots: int, dtype: mx.Dtype) -> None:
        self._base = base
        self._slots = slots
        self._dtype = dtype
        self._buckets = Buckets(slots)
        self._inputs: dict[InputKey, SharedInput] = {}
        self._outputs: dict[str, Output] = {}
        self._tables: dict[str, TableFactors] = {}
        self.active = Active(choose_kernel(dtype))

    @property
    def nbytes(self) -> int:
        """Of the stacks that hold the factors of all slots."""
        return sum(lanes.nbytes for part in self._parts for lanes in part.buckets.values()) + sum(
            output.gains.nbytes for output in self._outputs.values()
        )

    def put(self, slot: int, adapter: AdapterFiles) -> None:
        """The adapter is in this slot from the next forward pass on, instead of what was there.

        No row of a running batch may have the slot. Its own arrays are not kept.
        """
        whole(self.putting(slot, adapter))

    def putting(self, slot: int, adapter: AdapterFiles) -> Pieces[None]:
        """``put``, a few layers at a time; until the last piece, and if closed before it, the
        slot is as the bare base."""
        return self._putting(slot, adapter.factors)

    def putting_sum(self, slot: int, parts: Sequence[tuple[AdapterFiles, float]]) -> Pieces[None]:
        """The sum of the parts' deltas, each times its scale. Raises SourceError for DoRA."""
        return self._putting(slot, add_up(parts))

    def clear(self, slot: int) -> None:
        """The slot is as the bare base again."""
        place = self.active.placed(slot)
        if place is None:
            return
        self.active.place(slot, None)
        self._release(place.rank, slot)

    def strongest_tokens(self, slot: int, count: int) -> mx.array | None:
        """The tokens (1, seq) whose embeddings the slot's adapter may change most, None where no
        embeddings are targeted."""
        place = self.active.placed(slot)
        found = (
            None if place is None else table.strongest(place.rank, place.lane, count)
            for table in self._tables.values()
        )
        return next((tokens[None] for tokens in found if tokens is not None), None)

    def new_cache(self, slot: int) -> list[Any]:
        """Empty caches for one sequence, with its slot as the last element."""
        return [*make_prompt_cache(self._base), RowSlot(slot)]

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        """Logits (batch, seq, vocabulary); the last element of ``cache`` is ``BatchSlots``."""
        *kv, slots = cache
        self.active.publish(slots.slots)
        return self._base(inputs, cache=kv)

    def logits(self, inputs: mx.array, slot: int) -> mx.array:
        """Logits of one sequence (1, seq) without a cache."""
        self.active.publish([slot])
        return self._base(inputs)

    def logits_by_layer(self, inputs: mx.array, slot: int) -> Pieces[mx.array]:
        """The same, a layer at a time; for probes while others decode."""
        self.active.publish([slot])
        cache = make_prompt_cache(self._base)
        logits = self._base(inputs, cache=cache)
        # the graph stands; what a layer keeps depends on all layers before it
        for layer in cache:
            mx.eval(layer.state)
            yield
        mx.eval(logits)
        return logits

    def _putting(self, slot: int, factors: Mapping[str, Factors]) -> Pieces[None]:
        if not 1 <= slot <= self._slots:
            raise ValueError(f"slot {slot} is not one of 1..{self._slots}")
        tables = {path for path in factors if is_table(self._layer(path))} | {*self._tables}
        targets: dict[InputKey, list[str]] = {key: [] for key in self._inputs}
        for path in sorted({*factors} - tables):
            targets.setdefault(shared_input(path), []).append(path)
        rank = bucket_of(max(f.a.shape[1] for f in factors.values()))
        self._vacate(slot, rank)
        lane = self._buckets.lane(rank, slot)
        try:
            for path in sorted(tables):
                self._wrap_table(path)
                capacity = self._buckets.capacity(rank)
                self._tables[path].put(rank, lane, capacity, factors.get(path))
                yield
            for key, paths in targets.items():
                self._wrap([path for path in paths if path not in self._outputs])
                self._write(key, rank, lane, factors)
                self._write_gains(key, slot, factors)
                yield
        except BaseException:
            self._release(rank, slot)
            raise
        dora = any(f.magnitude is not None for f in factors.values())
        self.active.place(slot, Place(rank, lane, dora))

    def _vacate(self, slot: int, rank: int) -> None:
        """As ``clear``, but a lane in this bucket stays: it is written over."""
        place = self.active.placed(slot)
        if place is not None and place.rank == rank:
            self.active.place(slot, None)
        else:
            self.clear(slot)

    def _release(self, rank: int, slot: int) -> None:
        self._buckets.release(rank, slot)
        if not self._buckets.capacity(rank):
            for part in self._parts:
                part.buckets.pop(rank, None)

    @property
    def _parts(self) -> list[SharedInput | Output]:
        """All that holds factors."""
        tables = [part for table in self._tables.values() for part in table.parts]
        return [*self._inputs.values(), *self._outputs.values(), *tables]

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

    def _wrap_table(self, path: str) -> None:
        if path in self._tables:
            return
        parent, leaf = parent_of(self._base, path)
        shape = layer_shape(parent[leaf])
        self._tables[path] = TableFactors(shape, self._slots, self.active, self._dtype)
        parent[leaf] = LoRAEmbedding(parent[leaf], self._tables[path], self.active)

    def _layer(self, path: str) -> Any:
        parent, leaf = parent_of(self._base, path)
        return parent[leaf]

    def _write(self, key: InputKey, rank: int, lane: int, factors: Mapping[str, Factors]) -> None:
        """One adapter's factors of the layers that read one input; zero where it has none."""
        capacity = self._buckets.capacity(rank)
        shared, outputs = self._inputs[key], self._outputs_of(key)
        found = {leaf: factors[path] for leaf, path in self._paths_of(key) if path in factors}
        shared.put(rank, lane, capacity, {m: padded(f.a.T, rank) for m, f in found.items()})
        for leaf, output in outputs.items():
            own = found.get(leaf)
            # scaled in float32, before the cast to the activation dtype
            output.put(rank, lane, capacity, own and padded(own.b * own.scale, rank))
        stacks = [part.buckets.get(rank) for part in (shared, *outputs.values())]
        mx.eval([lanes.stored for lanes in stacks if lanes is not None])

    def _write_gains(self, key: InputKey, slot: int, factors: Mapping[str, Factors]) -> None:
        for _, path in self._paths_of(key):
            found = factors.get(path)
            if found is None or found.magnitude is None:
                self._outputs[path].gains.put(slot, None)
                continue
            self._outputs[path].gains.put(slot, gain_of(self._layer(path).linear, found))

    def _outputs_of(self, key: InputKey) -> dict[str, Output]:
        return {leaf: self._outputs[path] for leaf, path in self._paths_of(key)}

    def _paths_of(self, key: InputKey) -> list[tuple[str, str]]:
        """Names and paths of the layers that read one input."""
        return [(leaf, f"{key[0]}.{leaf}".lstrip(".")) for leaf in self._inputs[key].members]
