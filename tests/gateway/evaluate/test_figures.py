"""Figures and intervals of outcomes that are known."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.evaluate.figures import FEWEST, Outcome, figures_of


def outcomes(exact: float, perplexity: float, n: int = 40, tokens: int = 5) -> list[Outcome]:
    share = round(exact * n)
    return [Outcome(at < share, -tokens * math.log(perplexity), tokens) for at in range(n)]


def test_an_adapter_that_is_better():
    found = figures_of(outcomes(0.1, 30.0), outcomes(0.9, 2.0))
    assert found.n == 40
    exact, perplexity = found.exact_match, found.perplexity
    assert (exact.base, exact.adapter) == (0.1, 0.9)
    assert exact.difference == pytest.approx(0.8)
    assert exact.low is not None
    assert exact.high is not None
    assert 0.6 < exact.low < exact.difference < exact.high < 1
    assert (perplexity.base, perplexity.adapter) == pytest.approx((30.0, 2.0))
    assert (exact.better, perplexity.better) == ("adapter", "adapter")


def test_an_adapter_that_is_worse():
    found = figures_of(outcomes(0.9, 2.0), outcomes(0.1, 30.0))
    assert (found.exact_match.better, found.perplexity.better) == ("base", "base")


def test_what_chance_explains_is_no_difference():
    draw = random.Random(3)
    base = [Outcome(draw.random() < 0.5, -draw.random(), 3) for _ in range(60)]
    adapter = [Outcome(draw.random() < 0.5, -draw.random(), 3) for _ in range(60)]
    found = figures_of(base, adapter)
    assert (found.exact_match.better, found.perplexity.better) == (None, None)


def test_the_same_again_gives_the_same():
    both = outcomes(0.4, 3.0), outcomes(0.6, 2.5)
    assert figures_of(*both) == figures_of(*both)


def test_too_few_to_say():
    found = figures_of(outcomes(0, 9.0, FEWEST - 1), outcomes(1, 2.0, FEWEST - 1))
    assert (found.exact_match.low, found.exact_match.better) == (None, None)
    enough = figures_of(outcomes(0, 9.0, FEWEST), outcomes(1, 2.0, FEWEST))
    assert (enough.exact_match.low, enough.exact_match.better) == (1.0, "adapter")


def test_all_tokens_weigh_the_same():
    base = [Outcome(False, -10.0, 1), Outcome(False, 0.0, 9)]
    assert figures_of(base, base).perplexity.base == pytest.approx(math.e)


def test_impossible_answers_are_infinitely_perplexing():
    found = figures_of([Outcome(False, -9999.0 * 3, 3)] * 20, outcomes(1, 2.0, 20)).perplexity
    assert math.isinf(found.base)
    assert (found.low, found.better) == (None, None)


ONE = st.builds(Outcome, st.booleans(), st.floats(-50, 0), st.integers(1, 20))


@settings(max_examples=20, deadline=None)
@given(st.lists(ONE, min_size=1, max_size=30))
def test_equals_are_equal(found):
    same = figures_of(found, found)
    assert same.exact_match.difference == same.perplexity.difference == 0
    assert same.exact_match.better is same.perplexity.better is None
