"""LoRA layers whose rows each use their own adapter.

``LoRALinear`` wraps one linear layer of the base, plain or quantised, and adds
``(x @ A[slot]) @ B[slot]`` for the slot of each row. Layers that read the same input (q, k
and v; gate and up) share one product with their A factors (``SharedInput``). All of it
belongs to the engine thread.
"""

import mlx.core as mx
from mlx import nn

from worker.lora.dora import Gains
from worker.lora.plan import BatchPlan
from worker.lora.rows import Active
from worker.lora.stacks import Lanes


class SharedInput:
    """The A factors of layers that read the same input, applied in one product.

    Stored (lanes, members x rank, in) and read transposed: with the input dimension
    contiguous, the products over it are about a sixth faster on the CPU.
    """

    def __init__(self, wide_in: int, active: Active, dtype: mx.Dtype) -> None:
        self.members: list[str] = []
        self.buckets: dict[int, Lanes] = {}
        self._wide_in = wide_in
        self._active = active
        self._dtype = dtype
        self._forget()

    def add(self, member: str, at: int) -> None:
        """One more layer reads this input, as number ``at`` of the members."""
        wider = {rank: b.widened(at * rank, rank) for rank, b in self.buckets.items()}
        # all of them or, where memory has run out, none: others' rows are read from these
        self.members.insert(at, member)
        for rank, stored in wider.items():
            self.buckets[rank].replace(stored)
        self._forget()

    def put(self, rank: int, lane: int, capacity: int, a: dict[str, mx.array]) -> None:
        """Set one adapter's A (rank, in) of each member; those not in ``a`` are zero."""
        self._forget()
        if a and rank not in self.buckets:
            shape = (len(self.members) * rank, self._wide_in)
            self.buckets[rank] = Lanes(capacity, shape, self._dtype, turned=True)
        if rank in self.buckets:
            # rows of a batch index every stack of a bucket: each has the same lanes
            self.buckets[rank].grow(capacity)
            self.buckets[rank].put(lane, self._side_by_side(rank, a) if a else None)

    def part(self, x: mx.array, member: str) -> list[mx.array | None]:
        """Member's ``x @ A`` of each group of the batch, None where its bucket has none."""
        plan = self._active.plan
        if x is not self._input or plan is not self._plan:
            self._parts = self._products(x)
            self._input, self._plan = x, plan
        parts = self._parts[self.members.index(member)]
        if member == self.members[-1]:
            # the last reader: hold no activation between forward passes
            self._forget()
        return parts

    def _products(self, x: mx.array) -> list[list[mx.array | None]]:
        """By member, then by group."""
        count = len(self.members)
        by_group: list[list[mx.array | None]] = []
        for group in self._active.groups:
            lanes = self.buckets.get(group.rank)
            z = None if lanes is None else lanes.apply(x, group, self._active.kernel)
            if z is None or count == 1:
                by_group.append([z] * count)
            else:
                by_group.append([*mx.split(z, count, axis=-1)])
        return [[group[member] for group in by_group] for member in range(count)]

    def _side_by_side(self, rank: int, a: dict[str, mx.array]) -> mx.array:
        none = mx.zeros((rank, self._wide_in))
        return mx.concatenate([a.get(member, none) for member in self.members])

    def _forget(self) -> None:
        self._input: mx.array | None = None
        self._plan: BatchPlan | None = None
        self._parts: list[list[mx.array | None]] = []


class Output:
    """The B factors of one layer, each adapter's scale already multiplied in; DoRA's gains.

    ``turned``: stored (out, rank), so that the factors of one output stand together.
    """

    def __init__(
        self, wide_out: int, slots: int, active: Active, dtype: mx.Dtype, turned: bool = False
    ) -> None:
        self.buckets: dict[int, Lanes] = {}
        self.gains = Gains(slots, wide_out, dtype)
        self._wide_out = wide_out
        self._active = active
        self._dtype = dtype
        self._turned = turned

    def put(self, rank: int, lane: int, capacity: int, b: mx.array | None) -> None:
        """Set one adapter's B (rank, out); None: it does not target this layer."""
        if b is not None and rank not in self.buckets:
            shape = (self._wide_out, rank) if self._turned else (rank, self._wide_out)
            self.buckets[rank] = Lanes(capacity, shape, self._dtype, self._turned)
        if rank in self.buckets:
            self.buckets[rank].grow(capacity)
            self.buckets[rank].put(lane, b.T if self._turned and b is not None else b)

    def delta(self, parts: list[mx.array | None]) -> mx.array | None:
        """(batch, seq, out) of the parts that ``SharedInput`` made, in the order of the rows."""
        found = [None if part is None else self._product(part, at) for at, part in enumerate(parts)]
        if len(found) == 1:
            return found[0]
        length = next((part.shape[1] for part in found if part is not None), None)
        if length is None:
            return None
        whole = [self._zeros(at, length) if part is None else part for at, part in enumerate(found)]
        return mx.concatenate(whole)[self._active.order]

    def _product(self, part: mx.array, at: int) -> mx.array | None:
        group = self._active.groups[at]
        lanes = self.buckets.get(group.rank)
        return None if lanes is None else lanes.apply(part, group.own, self._active.kernel)

    def _zeros(self, at: int, length: int) -> mx.array:
        return mx.zeros((self._active.groups[at].count, length, self._wide_out), self._dtype)


def padded(factors: mx.array, rank: int) -> mx.array:
    """(rank of the layer, wide) -> (rank of the bucket, wide)."""
    short = rank - factors.shape[0]
    return mx.pad(factors, [(0, short), (0, 0)]) if short else factors


class LoRALinear(nn.Module):
    """A linear layer of the base plus, for every row, the adapter of that row."""

    def __init__(
        self, linear: nn.Module, member: str, shared: SharedInput, output: Output, active: Active
    ) -> None:
        super().__init__()
        self.linear = linear
        # in a tuple, so that the factors are not parameters of the base model
        self._lora = (member, shared, output, active)

    def __call__(self, x: mx.array) -> mx.array:
        y = self.linear(x)
        member, shared, output, active = self._lora
        if active.plan.case == "none":
            return y
        delta = output.delta(shared.part(x, member))
        y = y if delta is None else y + delta
        if active.plan.dora:
            return output.gains.apply(y, self.linear.get("bias"), active.slots)
        return y
