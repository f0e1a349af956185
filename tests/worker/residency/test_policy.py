"""Who goes next, who leaves: tables."""

import pytest

from worker.residency.policy import (
    Budget,
    Choice,
    SlotTable,
    Waiting,
    plan_host_evictions,
    plan_next,
)


class Tiers:
    def __init__(self, in_slot: str, hosted: str) -> None:
        self._in_slot, self._hosted = in_slot, hosted

    def in_slot(self, adapter: str | None) -> bool:
        return adapter is None or adapter in self._in_slot

    def can_put(self, adapter: str) -> bool:
        return adapter in self._hosted


def rows(*given: tuple[str | None, int, int]) -> list[Waiting]:
    return [Waiting(*one) for one in given]


@pytest.mark.parametrize(
    ("waiting", "choice"),
    [
        ([], None),
        ([(None, 1, 0)], (0, True)),
        # the adapter in a slot goes first, and the bare base needs none
        ([("b", 1, 0), ("a", 1, 0)], (1, True)),
        ([("b", 1, 0), (None, 1, 0)], (1, True)),
        ([("b", 1, 0), ("c", 1, 0)], (0, False)),
        # what is on disk waits for its read
        ([("d", 1, 0), ("b", 1, 0)], (1, False)),
        ([("d", 1, 0)], None),
        # one that was overtaken often enough lets nobody behind it pass
        ([("b", 1, 4), ("a", 1, 0)], (0, False)),
        ([("d", 1, 4), ("a", 1, 0)], None),
        ([("a", 1, 0), ("d", 1, 4), ("a", 1, 0)], (0, True)),
        # keys and values that do not fit wait, and smaller ones pass, as often as is allowed
        ([("a", 9, 0), ("b", 1, 0)], (1, False)),
        ([("a", 9, 4), ("b", 1, 0)], None),
    ],
)
def test_who_goes_next(
    waiting: list[tuple[str | None, int, int]], choice: tuple[int, bool] | None
) -> None:
    found = plan_next(rows(*waiting), Tiers("a", "bc"), 5, bound=4)
    assert found == (None if choice is None else Choice(choice[0], in_slot=choice[1]))


def test_the_least_recently_used_leaves_but_none_in_use_and_no_pinned_one() -> None:
    table = SlotTable(4)
    for now, name in enumerate("abcd"):
        table.take(name, now)
    table.pinned = frozenset("a")
    table.lock("b", 10)
    assert table.plan_victim(()) == "c"
    assert table.plan_victim("c") == "d"
    assert table.plan_victim("cd") == "c"
    table.lock("c", 11)
    table.lock("d", 12)
    assert table.plan_victim(()) is None
    table.unlock("b", 13)
    assert table.plan_victim(()) == "b"


def test_a_slot_that_was_freed_is_given_again() -> None:
    table = SlotTable(2)
    one, two = table.take("a", 0), table.take("b", 1)
    assert {one, two} == {1, 2}
    assert not table.has_free
    assert table.drop("a") == one
    assert table.take("c", 2) == one
    assert (table.slot_of("a"), table.slot_of(None)) == (None, 0)


def test_host_copies_leave_oldest_first_and_none_that_is_needed() -> None:
    hosted = [("a", 3), ("b", 3), ("c", 3)]
    assert plan_host_evictions(hosted, (), 0) == []
    assert plan_host_evictions(hosted, (), 4) == ["a", "b"]
    assert plan_host_evictions(hosted, ("a",), 4) == ["b", "c"]
    assert plan_host_evictions(hosted, "abc", 4) == []


def test_one_sum_of_bytes_for_all() -> None:
    budget = Budget(1000, 600, 10)
    assert budget.kv_bytes(3, 2) == 50
    assert budget.room_bytes(stacks=100, hosted=50, kv=50) == 200
