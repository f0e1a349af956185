"""Figures of merit: by hand, against brute force, and what holds for any input."""

from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.judging import measures
from router.learning.calibrate import f1_of

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)
SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), min_size=1, max_size=30)
CONFIDENT = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def columns(pairs: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    return tuple(np.array(column) for column in zip(*pairs, strict=True))


@settings(deadline=None)
@given(LABELS)
def test_macro_f1_is_that_of_fit(pairs: list[tuple[int, int]]) -> None:
    truth, found = columns(pairs)
    assert measures.macro_f1(truth, found) == pytest.approx(f1_of(truth, found))


@settings(deadline=None)
@given(LABELS, st.permutations(range(5)))
def test_macro_f1_knows_no_names(pairs: list[tuple[int, int]], names: list[int]) -> None:
    truth, found = columns(pairs)
    renamed = np.array(names)
    value = measures.macro_f1(truth, found)
    assert value == pytest.approx(measures.macro_f1(renamed[truth], renamed[found]))
    assert 0.0 <= value <= 1.0
    assert (value == 1.0) == bool((truth == found).all())


@settings(deadline=None)
@given(LABELS)
def test_confusion_counts_every_prompt_once(pairs: list[tuple[int, int]]) -> None:
    truth, found = columns(pairs)
    matrix = measures.confusion(truth, found, 5)
    assert matrix.sum() == len(pairs)
    assert np.trace(matrix) == (truth == found).sum()
    assert all(matrix[t, f] == pairs.count((t, f)) for t in range(5) for f in range(5))


@settings(max_examples=5, deadline=None)
@given(LABELS)
def test_macro_f1_interval_is_ordered_and_repeats(pairs: list[tuple[int, int]]) -> None:
    truth, found = columns(pairs[:5])
    low, high = measures.macro_f1_interval(truth, found, 1)
    assert 0.0 <= low <= high <= 1.0
    assert (low, high) == measures.macro_f1_interval(truth, found, 1)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_auroc_is_the_share_of_ordered_pairs(inside: list[float], outside: list[float]) -> None:
    pairs = [(out > low) + (out == low) / 2 for out in outside for low in inside]
    value = measures.auroc(np.array(inside), np.array(outside))
    assert value == pytest.approx(sum(pairs) / len(pairs))
    assert value + measures.auroc(np.array(outside), np.array(inside)) == pytest.approx(1.0)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_recall_at_coverage_uses_the_lowest_line(inside: list[float], outside: list[float]) -> None:
    kept = [line for line in inside if 20 * sum(x <= line for x in inside) >= 19 * len(inside)]
    expected = sum(x > min(kept) for x in outside) / len(outside)
    found = measures.recall_at_coverage(np.array(inside), np.array(outside))
    assert found == pytest.approx(expected)


def test_recall_at_coverage_of_a_hundred() -> None:
    inside, outside = np.arange(100.0), np.array([94.0, 94.5, 200.0, 3.0])
    assert measures.recall_at_coverage(inside, outside) == 0.5


def test_bins_share_their_lower_edge() -> None:
    confidence = np.array([0.0, 0.1, 0.95, 1.0])
    bins = measures.reliability(confidence, np.array([False, True, True, False]))
    assert [each.count for each in bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert (bins[9].low, bins[9].high) == (0.9, 1.0)
    assert (bins[9].confidence, bins[9].accuracy) == (pytest.approx(0.975), 0.5)
    # (1 * 0.0 + 1 * 0.9 + 2 * 0.475) / 4
    assert measures.calibration_error(bins) == pytest.approx(0.4625)


@settings(deadline=None)
@given(CONFIDENT)
def test_calibration_error_is_a_mean_of_gaps(pairs: list[tuple[float, bool]]) -> None:
    confidence, right = columns(pairs)
    bins = measures.reliability(confidence, right)
    error = measures.calibration_error(bins)
    assert sum(each.count for each in bins) == len(pairs)
    assert abs(confidence.mean() - right.mean()) - 1e-9 <= error <= 1.0 + 1e-9


def test_nothing_to_measure_is_nan_without_warnings() -> None:
    none, flags = np.array([], np.int64), np.array([], np.bool_)
    scores = np.array([], np.float64)
    found = (
        measures.share(flags),
        measures.macro_f1(none, none),
        *measures.macro_f1_interval(none, none, 1),
        measures.auroc(scores, scores),
        measures.recall_at_coverage(scores, np.array([1.0])),
        measures.calibration_error(measures.reliability(scores, flags)),
        measures.ratio(1, 0),
    )
    assert all(map(isnan, found))


def test_json_ready() -> None:
    nested = {"a": (1.5, float("nan")), "b": [{"c": "x"}, None, 3]}
    assert measures.json_ready(nested) == {"a": [1.5, None], "b": [{"c": "x"}, None, 3]}
