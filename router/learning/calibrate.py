"""Temperature, out-of-domain score and thresholds from dev: small searches, pure.

Dev holds prompts of authors who wrote none of the exemplars. An abstention counts as
``general``; a prompt with a second label is right under either.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from router.learning.optimise import logistic_regression
from router.policy import Thresholds
from router.reading.features import Columns, Floats
from router.reading.head import Outlier, softmax

OUTLIERS = tuple(float(x) for x in np.arange(0.2, 0.96, 0.05).round(2))
CONFIDENCES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
MARGINS = (0.0, 0.02, 0.04, 0.08)
OWN_CONFIDENCES = (*CONFIDENCES, 0.5, 0.55, 0.6, 0.7)
PLATEAU = 0.003
"""Macro-F1 that is as good as the best."""
LEAST_GAIN = 0.002
"""A domain's own threshold must gain this much macro-F1 over the common one."""


@dataclass(frozen=True)
class Dev:
    """Readings of dev prompts; ``general`` is the last label."""

    logits: Floats  # (texts, labels), calibrated
    signals: Floats  # (texts, 5), inputs of the out-of-domain score
    has_topic: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (texts,)
    truth: Columns  # (texts,)
    also: Columns  # (texts,): the second label, or the first again


def temperature(logits: Floats, truth: Columns) -> float:
    """The temperature with the least negative log-likelihood; 1 without any text."""
    if not len(truth):
        return 1.0
    places = np.arange(len(truth))
    grid = np.geomspace(0.2, 5.0, 81)
    losses = [-np.log(softmax(logits / np.float32(t))[places, truth] + 1e-9).mean() for t in grid]
    return round(float(grid[int(np.argmin(losses))]), 4)


def outlier(dev: Dev) -> Outlier:
    """The logistic that tells ``general`` from domains; both weigh the same in all."""
    general = dev.logits.shape[1] - 1
    outside = np.asarray(dev.truth == general, np.bool_)
    if not outside.any() or outside.all():
        return Outlier()
    mean, spread = dev.signals.mean(axis=0), dev.signals.std(axis=0) + 1e-6
    part = np.count_nonzero(outside) / len(outside)
    share: Floats = np.where(outside, 0.5 / part, 0.5 / (1.0 - part)).astype(np.float32)
    targets = np.stack([~outside, outside], axis=1).astype(np.float32)
    solved = logistic_regression(
        ((dev.signals - mean) / spread).astype(np.float32), targets, share, penalty=1e-2
    )
    weights = (solved[:-1, 1] - solved[:-1, 0]) / spread
    bias = float(solved[-1, 1] - solved[-1, 0] - weights @ mean)
    return Outlier(weights.astype(np.float32), bias)


def outlier_scores(rule: Outlier, signals: Floats) -> Floats:
    """Of many texts at once; see ``head.outlier_score``."""
    z = np.clip(signals @ rule.weights + rule.bias, -30.0, 30.0)
    return np.asarray(1.0 / (1.0 + np.exp(-z)), np.float32)


def thresholds(dev: Dev, rule: Outlier, labels: tuple[str, ...]) -> Thresholds:
    """The lines with the best macro-F1: common ones first, then each domain's own."""
    if not len(dev.truth):
        return Thresholds()
    chances, scores = softmax(dev.logits), outlier_scores(rule, dev.signals)

    def value(limits: Thresholds) -> float:
        return macro_f1(dev, predict(dev, chances, scores, limits, labels))

    grid = [
        Thresholds(line, margin, confidence)
        for line, margin, confidence in product(OUTLIERS, MARGINS, CONFIDENCES)
    ]
    best = _middle([(value(limits), limits) for limits in grid])
    for name in labels[:-1]:
        own = [
            replace(best, per_domain=best.per_domain | {name: confidence})
            for confidence in OWN_CONFIDENCES
        ]
        tried = max(own, key=value)
        if value(tried) >= value(best) + LEAST_GAIN:
            best = tried
    return best


def _middle(valued: list[tuple[float, Thresholds]]) -> Thresholds:
    """From the middle of what is as good as the best: a peak of dev is chance, a plateau is not."""
    top = max(value for value, _ in valued)
    plateau = [(value, limits) for value, limits in valued if value >= top - PLATEAU]
    lines = sorted(limits.outlier for _, limits in plateau)
    middle = lines[len(lines) // 2]
    return max(
        ((value, limits) for value, limits in plateau if limits.outlier == middle),
        key=lambda pair: pair[0],
    )[1]


def predict(
    dev: Dev, chances: Floats, scores: Floats, limits: Thresholds, labels: tuple[str, ...]
) -> Columns:
    """The label of each text under the policy's rules, for all texts at once."""
    general = chances.shape[1] - 1
    nobody = np.zeros((len(chances), 1), np.float32)  # the second where there is one domain
    ordered = np.sort(np.hstack([nobody, chances[:, :general]]), axis=1)
    chosen: Columns = chances[:, :general].argmax(axis=1)
    lines = np.array([limits.of(name) for name in labels[:general]], np.float32)
    abstains = (
        ~dev.has_topic
        | (scores >= limits.outlier)
        | (ordered[:, -1] < lines[chosen])
        | (ordered[:, -1] - ordered[:, -2] < limits.margin)
    )
    return np.where(abstains, general, chosen)


def macro_f1(dev: Dev, predicted: Columns) -> float:
    """Mean F1 of the labels that occur; a second label that was chosen counts as the truth."""
    truth = np.where(predicted == dev.also, dev.also, dev.truth)
    return f1_of(truth, predicted)


def f1_of(truth: Columns, predicted: Columns) -> float:
    """Mean of the F1 of every label that occurs in ``truth``."""
    scores = [
        2.0
        * np.sum((truth == label) & (predicted == label))
        / (np.sum(truth == label) + np.sum(predicted == label))
        for label in np.unique(truth).tolist()
    ]
    return float(np.mean(scores))
