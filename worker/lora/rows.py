"""Which rows of the current forward pass use which factors, as arrays.

Published once per forward pass, read by every layer; nothing here knows of requests. All of
it belongs to the engine thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from worker.lora.buckets import Place
from worker.lora.kernels import Kernel
from worker.lora.plan import BatchPlan, Group, plan_batch


@dataclass(frozen=True)
class GroupRows:
    """A bucket's rows: one ``lane`` for all of the batch, or a lane each.

    ``rows`` are those of the batch, None where the group is the whole batch in order.
    """

    rank: int
    count: int
    lane: int | None
    lanes: mx.array
    rows: mx.array | None

    @property
    def own(self) -> "GroupRows":
        """The same for an array that holds the rows of this group only."""
        return self if self.rows is None else replace(self, rows=None)


class Active:
    """What the current forward pass applies to which row."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._places: dict[int, Place] = {}
        self._asked: tuple[int, ...] | None = None
        self._set_plan(plan_batch((), {}))

    def place(self, slot: int, place: Place | None) -> None:
        """A slot has another adapter from now on, or none; seen by the next ``publish``."""
        if place is None:
            self._places.pop(slot, None)
        else:
            self._places[slot] = place
        self._asked = None

    def placed(self, slot: int) -> Place | None:
        return self._places.get(slot)

    def publish(self, slots: Sequence[int]) -> None:
        """Set the slots of the rows of the next forward pass; cheap when unchanged."""
        asked = tuple(slots)
        if asked != self._asked:
            self._asked = asked
            self._set_plan(plan_batch(asked, self._places))

    def _set_plan(self, plan: BatchPlan) -> None:
        self.plan = plan
        self.groups = [_group_rows(group, plan) for group in plan.groups]
        self.order = _indices(plan.order)
        self.slots = _indices(plan.slots)
        mx.eval(self.order, self.slots)


def _group_rows(group: Group, plan: BatchPlan) -> GroupRows:
    lanes = _indices(group.lanes)
    rows = _indices(group.rows) if plan.case == "buckets" else None
    mx.eval(lanes, rows)
    lane = group.lanes[0] if plan.case == "single" else None
    return GroupRows(group.rank, len(group.rows), lane, lanes, rows)


def _indices(values: Sequence[int]) -> mx.array:
    return mx.array(list(values), dtype=mx.uint32)
