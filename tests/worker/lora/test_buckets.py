"""Lanes of rank buckets: no two slots share one, and none is kept for nobody."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.lora.buckets import Buckets, bucket_of

SLOTS = 7
RANKS = [8, 16, 64]


@pytest.mark.parametrize(
    ("rank", "bucket"), [(1, 8), (8, 8), (9, 16), (16, 16), (24, 32), (64, 64), (65, 128)]
)
def test_bucket_is_the_next_power_of_two(rank: int, bucket: int) -> None:
    assert bucket_of(rank) == bucket


def test_room_grows_in_steps_and_stops_at_the_number_of_slots() -> None:
    buckets = Buckets(SLOTS)
    found = []
    for slot in range(1, SLOTS + 1):
        buckets.lane(16, slot)
        found.append(buckets.capacity(16))
    assert found == [1, 2, 3, 4, 6, 6, 7]
    assert buckets.capacity(8) == 0


class LaneBookkeeping(RuleBasedStateMachine):
    """Slots come, go and come again in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.buckets = Buckets(SLOTS)
        self.held: dict[int, tuple[int, int]] = {}

    @rule(slot=st.integers(1, SLOTS), rank=st.sampled_from(RANKS))
    def put(self, slot: int, rank: int) -> None:
        if slot in self.held and self.held[slot][0] != rank:
            self.clear(slot)
        lane = self.buckets.lane(rank, slot)
        assert self.held.get(slot, (rank, lane)) == (rank, lane), "a slot keeps its lane"
        self.held[slot] = (rank, lane)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.clear(data.draw(st.sampled_from(sorted(self.held))))

    def clear(self, slot: int) -> None:
        rank, _ = self.held.pop(slot)
        self.buckets.release(rank, slot)

    @invariant()
    def lanes_are_distinct_and_inside(self) -> None:
        assert len(set(self.held.values())) == len(self.held)
        for rank, lane in self.held.values():
            assert 1 <= lane <= self.buckets.capacity(rank) <= SLOTS
        for rank in RANKS:
            if all(held != rank for held, _ in self.held.values()):
                assert self.buckets.capacity(rank) == 0


TestLaneBookkeeping = LaneBookkeeping.TestCase
TestLaneBookkeeping.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
