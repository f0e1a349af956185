"""The slot rides in the KV cache.

``BatchGenerator`` keeps a list of caches for every sequence and merges, filters, extends,
splits and extracts them as sequences come and go. One more element in that list carries
the sequence's slot through the same verbs, so row -> adapter is right by mlx-lm's own
bookkeeping, in prefill and decode, and a stored prefix keeps its adapter. Held by
tests/worker/lora/test_cache_contract.py against mlx-lm 0.32.
"""

from collections.abc import Sequence
from typing import Any


class _NoArrays:
    """The verbs of a cache element that holds no keys and values: nothing to hold or trim."""

    @property
    def state(self) -> list[Any]:
        return []

    @property
    def nbytes(self) -> int:
        return 0

    def size(self) -> int:
        return 0

    def empty(self) -> bool:
        return True

    def is_trimmable(self) -> bool:
        return True

    def trim(self, n: int) -> int:
        return n


class RowSlot(_NoArrays):
    """The slot of one sequence, as the last element of its cache list."""

    def __init__(self, slot: int) -> None:
        self.slot = slot

    @classmethod
    def merge(cls, caches: Sequence["RowSlot"]) -> "BatchSlots":
        return BatchSlots([cache.slot for cache in caches])


class BatchSlots(_NoArrays):
    """The slots of a batch, in row order."""

    def __init__(self, slots: Sequence[int]) -> None:
        self.slots = list(slots)

    def prepare(self, **_: Any) -> None:
        """Padding does not concern slots."""

    def finalize(self) -> None:
        """Padding does not concern slots."""

    def filter(self, batch_indices: Sequence[int]) -> None:
        self.slots = [self.slots[i] for i in batch_indices]

    def extend(self, other: "BatchSlots") -> None:
        self.slots = self.slots + other.slots

    def extract(self, idx: int) -> RowSlot:
        return RowSlot(self.slots[idx])
