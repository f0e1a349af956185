"""LoRA layers whose rows each use their own adapter.

``LoRALinear`` wraps one linear layer of the base, plain or quantised, and adds
``(x @ A[slot]) @ B[slot]`` for the slot of each row. Layers that read the same input (q, k
and v; gate and up) share one product with their A factors (``SharedInput``). Which rows
use which slot is published once per forward pass in ``Active``; nothing here knows of
requests. All of it belongs to the engine thread.
"""

from collections.abc import Sequence

import mlx.core as mx
from mlx import nn

from worker.lora.kernels import Kernel
from worker.lora.plan import BatchPlan, plan_batch


class Active:
    """What the current forward pass applies to which row."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.plan = plan_batch(())
        self.indices = mx.array([], dtype=mx.uint32)

    def publish(self, slots: Sequence[int]) -> None:
        """Set the slots of the rows of the next forward pass; cheap when unchanged."""
        if tuple(slots) == self.plan.slots:
            return
        self.plan = plan_batch(slots)
        self.indices = mx.array(self.plan.slots, dtype=mx.uint32)
        mx.eval(self.indices)


class Stack:
    """The factors of all slots of one product: (slots, in, out)."""

    def __init__(self, factors: mx.array) -> None:
        self.factors = factors
        self._by_slot: dict[int, mx.array] = {}

    def apply(self, x: mx.array, active: Active) -> mx.array:
        """(batch, seq, in) -> (batch, seq, out) by the plan's case; not for case none."""
        plan = active.plan
        if plan.case == "single":
            return x @ self._slot(plan.slots[0])
        return active.kernel(x, self.factors, active.indices)

    def _slot(self, slot: int) -> mx.array:
        # A view, kept because a slice costs one dispatch a layer and step. Not factors[slot]:
        # MLX 0.32 gathers on an integer index, and the copies would double the memory.
        if slot not in self._by_slot:
            self._by_slot[slot] = self.factors[slot : slot + 1].squeeze(0)
            mx.eval(self._by_slot[slot])
        return self._by_slot[slot]


class SharedInput:
    """The A factors of layers that read the same input, applied in one product."""

    def __init__(self, factors: Sequence[mx.array], active: Active) -> None:
        """``factors``: one (slots, rank, in) array a member layer.

        Read transposed: with the input dimension contiguous, the products over it are about
        a sixth faster on the CPU than with A as (slots, in, rank).
        """
        self._members = len(factors)
        stored = mx.concatenate(list(factors), axis=1)
        mx.eval(stored)
        self._stack = Stack(stored.swapaxes(-1, -2))
        self._active = active
        self._input: mx.array | None = None
        self._plan: BatchPlan | None = None
        self._parts: list[mx.array] = []

    def part(self, x: mx.array, member: int) -> mx.array:
        """Member's ``x @ A[slot]``: (batch, seq, in) -> (batch, seq, rank)."""
        plan = self._active.plan
        if x is not self._input or plan is not self._plan:
            z = self._stack.apply(x, self._active)
            self._parts = list(mx.split(z, self._members, axis=-1)) if self._members > 1 else [z]
            self._input, self._plan = x, plan
        part = self._parts[member]
        if member == self._members - 1:
            # the last reader: hold no activation between forward passes
            self._input, self._parts = None, []
        return part


class LoRALinear(nn.Module):
    """A linear layer of the base plus, for every row, the adapter of that row."""

    def __init__(
        self, linear: nn.Module, b: mx.array, shared: SharedInput, member: int, active: Active
    ) -> None:
        """``b``: (slots, rank, out), each adapter's scale already multiplied in."""
        super().__init__()
        self.linear = linear
        # in a tuple, so that the factors are not parameters of the base model
        self._lora = (Stack(b), shared, member, active)

    def __call__(self, x: mx.array) -> mx.array:
        y = self.linear(x)
        b, shared, member, active = self._lora
        if active.plan.case == "none":
            return y
        return y + b.apply(shared.part(x, member), active)
