"""The linear head: what one text says, as logits and evidence. Numpy at inference, pure."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router import features
from router.features import Floats, Grams

COMMON_IDF_SHARE = 0.55
"""A word whose idf is below this share of the largest is common: it carries no topic."""


@dataclass(frozen=True)
class Thresholds:
    """Where the policy draws its lines; chosen on dev by fit."""

    confidence: float = 0.3
    general_lead: float = 1.0
    margin: float = 0.05
    known_share: float = 0.3
    unknown_confidence: float = 0.6


@dataclass(frozen=True)
class Weights:
    """All that fit learned. Arrays are read-only by convention."""

    labels: tuple[str, ...]  # domains, then "general"
    matrix: Floats  # (features.WIDTH, labels)
    bias: Floats  # (labels,)
    idf: Floats  # (features.WIDTH,)
    seen: NDArray[np.bool_]  # (features.WIDTH,) occurs in the training texts
    temperature: float
    thresholds: Thresholds


@dataclass(frozen=True)
class Reading:
    """What one text says on its own."""

    logits: Floats  # (labels,)
    known_share: float  # of the idf mass of its words and cues, what training knows: 0..1
    topic_words: float  # words that are not common ones


class Reader(Protocol):
    """Anything that turns a text into a Reading: the seam for a sentence encoder."""

    def __call__(self, text: str) -> Reading: ...


def read(weights: Weights, grams: Grams) -> Reading:
    """Score one text. An empty text has the bias as logits and no topic words."""
    row = features.row(grams, weights.idf)
    logits = row.values @ weights.matrix[row.columns] + weights.bias
    word_idf = weights.idf[grams.words]
    ceiling = float(weights.idf.max())
    cue_mass = ceiling * len(grams.cues)  # a cue counts as a word that training knows
    total = float(word_idf.sum()) + cue_mass
    known = float((word_idf * weights.seen[grams.words]).sum()) + cue_mass
    topical = int((word_idf > COMMON_IDF_SHARE * ceiling).sum())
    return Reading(
        logits.astype(np.float32),
        known / total if total else 0.0,
        float(topical),
    )


def softmax(logits: Floats, temperature: float) -> Floats:
    """Probabilities along the last axis; a higher temperature is less sure."""
    scaled = np.asarray(logits / temperature, np.float32)
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)
