"""Which lane of which rank bucket holds the adapter of a slot. Pure: no arrays, no MLX.

An adapter goes into the bucket of its largest rank, rounded up to a power of two, so that
no adapter is padded to more than twice its rank however large its neighbours are. Inside a
bucket it has a lane, 1 and up; lane 0 is zero. A bucket has as many lanes as were in use at
once and at most half as many again, and none when its last adapter has left.
"""

from dataclasses import dataclass

SMALLEST_RANK = 8


def bucket_of(rank: int) -> int:
    """The bucket of an adapter of this rank: 8, 16, 32, 64, ..."""
    bucket = SMALLEST_RANK
    while bucket < rank:
        bucket *= 2
    return bucket


@dataclass(frozen=True)
class Place:
    """Where the factors of one slot stand."""

    rank: int
    lane: int
    dora: bool = False


class Buckets:
    """The lanes of all buckets, taken and released by slot."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._lanes: dict[int, dict[int, int]] = {}
        self._capacity: dict[int, int] = {}

    def capacity(self, rank: int) -> int:
        """Lanes of a bucket, lane 0 not counted; 0 for a bucket that holds no adapter."""
        return self._capacity.get(rank, 0)

    def lane(self, rank: int, slot: int) -> int:
        """The slot's lane in this bucket: the one that it has, else a free one, taken now."""
        lanes = self._lanes.setdefault(rank, {})
        if slot not in lanes:
            taken = set(lanes.values())
            lanes[slot] = next(i for i in range(1, self._slots + 1) if i not in taken)
            needed, capacity = lanes[slot], self.capacity(rank)
            if needed > capacity:
                self._capacity[rank] = min(max(needed, capacity * 3 // 2), self._slots)
        return lanes[slot]

    def release(self, rank: int, slot: int) -> None:
        """Give back the slot's lane in this bucket."""
        del self._lanes[rank][slot]
        if not self._lanes[rank]:
            del self._lanes[rank], self._capacity[rank]
