"""Answers that end in a loop, and those that only look like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.check.loops import MAX_PERIOD, MIN_REPEATS, MIN_TOKENS, find_loop

TOKENS = st.lists(st.integers(0, 9), max_size=40)


def test_user_user_user() -> None:
    found = find_loop([5, 6, 7, *[1] * 50])
    assert found is not None
    assert (found.tokens, found.repeats) == ((1,), 50)


@given(TOKENS, st.lists(st.integers(0, 9), min_size=1, max_size=MAX_PERIOD), st.integers(0, 8))
def test_every_long_enough_repetition_is_found(
    before: list[int], unit: list[int], more: int
) -> None:
    repeats = max(MIN_REPEATS, -(-MIN_TOKENS // len(unit))) + more
    found = find_loop(before + unit * repeats)
    assert found is not None
    tail = (before + unit * repeats)[-len(found.tokens) * found.repeats :]
    assert tail == list(found.tokens) * found.repeats


@given(TOKENS)
def test_what_is_found_is_there(tokens: list[int]) -> None:
    found = find_loop(tokens)
    if found is not None:
        assert tokens[-len(found.tokens) * found.repeats :] == list(found.tokens) * found.repeats
        assert found.repeats >= MIN_REPEATS


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [1] * (MIN_TOKENS - 1),
        [1, 2, 3, 4, 5, 6] * (MIN_REPEATS - 1),
        [*([1, 2] * 40), 9],
        list(range(200)),
        [7] * 100 + list(range(10)),
    ],
    ids=range(6),
)
def test_no_loop(tokens: list[int]) -> None:
    assert find_loop(tokens) is None


def test_a_loop_that_is_cut_within_its_unit() -> None:
    assert find_loop([*([1, 2, 3] * 20), 1, 2]) is not None
