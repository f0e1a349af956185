"""The case of a batch, from its slots and their places alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lora.buckets import Place
from worker.lora.plan import BARE, BatchPlan, Group, plan_batch

PLACES = {
    1: Place(8, 1),
    2: Place(8, 2),
    3: Place(64, 1),
    4: Place(16, 1, dora=True),
    5: Place(64, 2),
}
CASES = [
    ((), "none"),
    ((0,), "none"),
    ((0, 0, 0), "none"),
    ((3,), "single"),
    ((3, 3), "single"),
    ((3, 0), "mixed"),
    ((0, 3), "mixed"),
    ((1, 2, 1), "mixed"),
    ((3, 5), "mixed"),
    ((1, 3), "buckets"),
    ((0, 3, 2), "buckets"),
    ((9, 9), "none"),
    ((9, 3), "mixed"),
]


@pytest.mark.parametrize(("slots", "case"), CASES)
def test_case(slots: tuple[int, ...], case: str) -> None:
    assert plan_batch(slots, PLACES).case == case


def test_bare_rows_go_with_the_smallest_rank() -> None:
    plan = plan_batch((0, 3, 1, 5, 0), PLACES)
    assert plan.groups == (Group(8, (0, 2, 4), (0, 1, 0)), Group(64, (1, 3), (1, 2)))
    assert plan.order == (0, 3, 1, 4, 2)


def test_dora_is_told_only_where_a_row_has_it() -> None:
    assert plan_batch((1, 4), PLACES).dora
    assert not plan_batch((1, 3, 0), PLACES).dora


def test_an_empty_slot_is_bare() -> None:
    assert plan_batch((7, 1), PLACES) == plan_batch((0, 1), PLACES)
    assert plan_batch((7,), {}) == BatchPlan("none", (BARE,))


@given(st.lists(st.integers(0, 6), max_size=12))
def test_no_row_loses_its_adapter(slots: list[int]) -> None:
    plan = plan_batch(slots, PLACES)
    bare = [slot not in PLACES for slot in slots]
    if plan.case == "none":
        assert all(bare)
        return
    if plan.case == "single":
        assert len({*slots}) == 1
    grouped = [
        (row, g.rank, lane) for g in plan.groups for row, lane in zip(g.rows, g.lanes, strict=True)
    ]
    assert sorted(row for row, _, _ in grouped) == list(range(len(slots)))
    for row, rank, lane in grouped:
        if bare[row]:
            assert lane == BARE
        else:
            assert PLACES[slots[row]].rank == rank
            assert PLACES[slots[row]].lane == lane
    assert [grouped[at][0] for at in plan.order] == list(range(len(slots)))
