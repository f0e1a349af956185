"""What the rows of a batch have in common. Pure: no arrays, no MLX.

none      every row is the bare base       no LoRA work at all
single    every row has the same adapter   two plain products with that adapter's factors
mixed     adapters of one rank bucket      each row multiplied with its own factors
buckets   adapters of several buckets      the same, for each bucket's rows apart

A slot without an adapter is as the bare base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.lora.buckets import Place

BARE = 0
"""The slot of the bare base; and in each bucket the lane of factors that are zero."""


@dataclass(frozen=True)
class Group:
    """The rows of one bucket, and the lane of each; of bare rows lane 0."""

    rank: int
    rows: tuple[int, ...]
    lanes: tuple[int, ...]


@dataclass(frozen=True)
class BatchPlan:
    """The case of a batch; ``slots`` has one entry a row, empty ones as ``BARE``.

    Every row is in one of ``groups``, except in case none, which has no group.
    """

    case: Literal["none", "single", "mixed", "buckets"]
    slots: tuple[int, ...]
    groups: tuple[Group, ...] = ()
    dora: bool = False

    @property
    def order(self) -> tuple[int, ...]:
        """Where each row stands when the groups are put one after the other."""
        rows = [row for group in self.groups for row in group.rows]
        return tuple(sorted(range(len(rows)), key=rows.__getitem__))


def plan_batch(slots: Sequence[int], places: Mapping[int, Place]) -> BatchPlan:
    """The case of a batch whose rows have these slots."""
    rows = tuple(slot if slot in places else BARE for slot in slots)
    used = [places[slot] for slot in sorted({*rows} - {BARE})]
    if not used:
        return BatchPlan("none", rows)
    ranks = sorted({place.rank for place in used})
    # bare rows cost least in the smallest bucket
    members: dict[int, list[int]] = {rank: [] for rank in ranks}
    for row, slot in enumerate(rows):
        members[places[slot].rank if slot else ranks[0]].append(row)
    groups = tuple(
        Group(rank, tuple(at), tuple(places[rows[i]].lane if rows[i] else BARE for i in at))
        for rank, at in members.items()
    )
    dora = any(place.dora for place in used)
    if len(groups) > 1:
        return BatchPlan("buckets", rows, groups, dora)
    return BatchPlan("single" if len({*rows}) == 1 else "mixed", rows, groups, dora)
