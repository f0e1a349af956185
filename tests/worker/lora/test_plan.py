"""The case of a batch, from its slots alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lora.plan import BARE, BatchPlan, plan_batch

CASES = [
    ((), "none"),
    ((0,), "none"),
    ((0, 0, 0), "none"),
    ((3,), "single"),
    ((3, 3), "single"),
    ((3, 0), "mixed"),
    ((0, 3), "mixed"),
    ((1, 2, 1), "mixed"),
]


@pytest.mark.parametrize(("slots", "case"), CASES)
def test_case(slots: tuple[int, ...], case: str) -> None:
    assert plan_batch(slots) == BatchPlan(case, slots)


@given(st.lists(st.integers(0, 4), max_size=12))
def test_no_row_loses_its_adapter(slots: list[int]) -> None:
    plan = plan_batch(slots)
    assert plan.slots == tuple(slots)
    if plan.case == "none":
        assert all(slot == BARE for slot in slots)
    if plan.case == "single":
        assert len(set(slots)) == 1
        assert slots[0] != BARE
