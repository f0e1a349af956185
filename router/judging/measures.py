"""Figures of merit over arrays: pure numpy, no router. NaN stands for "nothing to measure"."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
"""One label's number per prompt."""
Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]

NOTHING = float("nan")
COVERAGE_PERCENT = 95
BINS = 10
RESAMPLES = 1000


@dataclass(frozen=True)
class Bin:
    """Predictions whose confidence lies in [low, high); the last bin includes 1."""

    low: float
    high: float
    count: int
    confidence: float  # mean
    accuracy: float


def share(hits: Flags) -> float:
    """How much of ``hits`` is true."""
    return float(hits.mean()) if len(hits) else NOTHING


def ratio(part: float, whole: float) -> float:
    """A division that has no answer where ``whole`` is 0."""
    return part / whole if whole else NOTHING


def confusion(truth: Labels, found: Labels, size: int) -> NDArray[np.int64]:
    """Counts (size, size): rows are the truth, columns what was found."""
    return np.bincount(truth * size + found, minlength=size * size).reshape(size, size)


def f1_per_label(matrix: NDArray[np.int64]) -> Scores:
    """F1 of every label of a confusion matrix; NaN where no prompt has the label."""
    support, predicted, right = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix)
    scores = 2.0 * right / np.maximum(support + predicted, 1)
    return np.where(support > 0, scores, NOTHING)


def macro_f1(truth: Labels, found: Labels) -> float:
    """Mean F1 of the labels that occur in ``truth``."""
    if not len(truth):
        return NOTHING
    size = 1 + int(max(truth.max(), found.max()))
    scores = f1_per_label(confusion(truth, found, size))
    return float(scores[~np.isnan(scores)].mean())


def macro_f1_interval(truth: Labels, found: Labels, seed: int) -> tuple[float, float]:
    """Where macro-F1 would lie for 95 % of test sets drawn like this one: a bootstrap."""
    if not len(truth):
        return NOTHING, NOTHING
    drawn = np.random.default_rng(seed).integers(0, len(truth), (RESAMPLES, len(truth)))
    values = [macro_f1(truth[rows], found[rows]) for rows in drawn]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def recall_at_coverage(inside: Scores, outside: Scores, percent: int = COVERAGE_PERCENT) -> float:
    """Share of ``outside`` above the lowest line that at least ``percent`` % of ``inside``
    do not exceed."""
    if not len(inside) or not len(outside):
        return NOTHING
    kept = max(1, -(-percent * len(inside) // 100))
    return share(outside > np.sort(inside)[kept - 1])


def auroc(inside: Scores, outside: Scores) -> float:
    """Chance that one of ``outside`` scores above one of ``inside``; a tie counts half."""
    if not len(inside) or not len(outside):
        return NOTHING
    ordered = np.sort(inside)
    below = np.searchsorted(ordered, outside, "left")
    not_above = np.searchsorted(ordered, outside, "right")
    return float((below + not_above).mean() / (2 * len(inside)))


def reliability(confidence: Scores, right: Flags) -> tuple[Bin, ...]:
    """Ten bins of equal width, empty ones included."""
    numbers = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return tuple(
        Bin(
            number / BINS,
            (number + 1) / BINS,
            int(np.sum(numbers == number)),
            _mean(confidence[numbers == number]),
            share(right[numbers == number]),
        )
        for number in range(BINS)
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of confidence and accuracy, each bin weighted by its count (ECE)."""
    total = sum(each.count for each in bins)
    gaps = [each.count * abs(each.confidence - each.accuracy) for each in bins if each.count]
    return ratio(sum(gaps), total)


def json_ready(value: Any) -> Any:
    """The same with lists for tuples and None for NaN, which JSON lacks."""
    match value:
        case float():
            return None if isnan(value) else value
        case dict():
            return {str(key): json_ready(each) for key, each in value.items()}  # pyright: ignore
        case list() | tuple():
            return [json_ready(each) for each in value]  # pyright: ignore
        case _:
            return value


def _mean(values: Scores) -> float:
    return float(values.mean()) if len(values) else NOTHING
