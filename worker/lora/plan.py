"""Which of three cases a batch is. Pure: no arrays, no MLX.

none      every row is the bare base       no LoRA work at all
single    every row has the same adapter   two plain products with that adapter's factors
mixed     anything else                    each row multiplied with its own factors
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

BARE = 0
"""The slot of the bare base; its factors are zero."""


@dataclass(frozen=True)
class BatchPlan:
    """The case of a batch; ``slots`` has one entry a row."""

    case: Literal["none", "single", "mixed"]
    slots: tuple[int, ...]


def plan_batch(slots: Sequence[int]) -> BatchPlan:
    """The case of a batch whose rows have these slots."""
    rows = tuple(slots)
    distinct = set(rows)
    if distinct <= {BARE}:
        return BatchPlan("none", rows)
    return BatchPlan("single" if len(distinct) == 1 else "mixed", rows)
