"""Temperature and thresholds from held-out readings: pure searches over small grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from router.features import Columns, Floats
from router.head import Thresholds, softmax


@dataclass(frozen=True)
class HeldOut:
    """Readings of texts whose theme the head had never seen; ``general`` is the last label."""

    logits: Floats  # (texts, labels)
    known_share: Floats  # (texts,)
    truth: Columns  # (texts,)


def temperature(held: HeldOut) -> float:
    """The temperature with the least negative log-likelihood."""
    places = np.arange(len(held.truth))
    grid = np.geomspace(0.2, 5.0, 81)
    losses = [
        -np.log(softmax(held.logits, float(t))[places, held.truth] + 1e-9).mean() for t in grid
    ]
    return round(float(grid[int(np.argmin(losses))]), 4)


def thresholds(held: HeldOut, at_temperature: float) -> Thresholds:
    """The thresholds with the best macro-F1, an abstention counted as ``general``."""
    chances = softmax(held.logits, at_temperature)
    grid = [
        Thresholds(confidence, lead, margin, known, sure)
        for confidence, lead, margin, known, sure in product(
            (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45),
            (0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0),
            (0.02, 0.04),
            (0.2, 0.3, 0.4),
            (0.4, 0.5, 0.6),
        )
    ]
    return max(grid, key=lambda limits: macro_f1(held.truth, predict(held, chances, limits)))


def predict(held: HeldOut, chances: Floats, limits: Thresholds) -> Columns:
    """The label of each text under the policy's rules, for all texts at once."""
    general = chances.shape[1] - 1
    nobody = np.zeros((len(chances), 1), np.float32)  # the second where there is one domain
    ordered = np.sort(np.hstack([nobody, chances[:, :general]]), axis=1)
    best, second = ordered[:, -1], ordered[:, -2]
    unfamiliar = (held.known_share < limits.known_share) & (best < limits.unknown_confidence)
    abstains = (
        (held.known_share <= 0)
        | (chances[:, general] >= best * limits.general_lead)
        | unfamiliar
        | (best < limits.confidence)
        | (best - second < limits.margin)
    )
    chosen: Columns = chances[:, :general].argmax(axis=1)
    chosen[abstains] = general
    return chosen


def macro_f1(truth: Columns, predicted: Columns) -> float:
    """Mean of the F1 of every label that occurs in ``truth``."""
    labels: Sequence[int] = np.unique(truth).tolist()
    scores = [
        2.0
        * np.sum((truth == label) & (predicted == label))
        / (np.sum(truth == label) + np.sum(predicted == label))
        for label in labels
    ]
    return float(np.mean(scores))
