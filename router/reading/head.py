"""The linear head: what one text says, as calibrated logits and evidence. Pure numpy."""

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router.policy import Thresholds
from router.reading import features
from router.reading.features import Columns, Floats, Grams

COMMON_IDF_SHARE = 0.55
"""A word whose idf is below this share of the largest is common: it carries no topic."""


@dataclass(frozen=True)
class Outlier:
    """A logistic over five signals (``signals_of``): how likely no domain claims a text."""

    weights: Floats = field(default_factory=lambda: np.array([1, 0, 0, 0, 0], np.float32))
    bias: float = 0.0


@dataclass(frozen=True)
class FollowUp:
    """A logistic over the features: how likely a text leans on what was said before it."""

    weights: Floats = field(default_factory=lambda: np.zeros(features.WIDTH, np.float32))
    bias: float = -10.0


@dataclass(frozen=True)
class SentenceHead:
    """The head on a sentence encoder's embeddings; ``digest`` says of which encoder."""

    source: str
    digest: str
    matrix: Floats  # (dimension, labels)
    bias: Floats  # (labels,)
    temperature: float


@dataclass(frozen=True)
class Weights:
    """All that fit learned. Arrays are read-only by convention."""

    labels: tuple[str, ...]  # domains, then "general"
    matrix: Floats  # (features.WIDTH, labels)
    bias: Floats  # (labels,)
    idf: Floats  # (features.WIDTH,)
    seen: NDArray[np.bool_]  # (features.WIDTH,) occurs in the training texts
    temperature: float
    outlier: Outlier
    thresholds: Thresholds
    follow_up: FollowUp = field(default_factory=FollowUp)
    exemplars: tuple[tuple[str, str], ...] = ()  # (label, text), for explanations
    words: tuple[str, ...] = ()  # known ones, most frequent first, for the spelling
    sentence: SentenceHead | None = None


@dataclass(frozen=True)
class Reading:
    """What one text, or one conversation, says."""

    logits: Floats  # (labels,), calibrated: softmax gives the probabilities
    energy: float  # log-sum-exp of the head's raw logits: high where much was recognised
    known_share: float  # of the idf mass of its words and cues, what training knows: 0..1
    known_letters: float  # the same of its letter n-grams, which survive a typo
    topic_words: float  # words that are not common ones
    follow_up: float = 0.0  # probability that it leans on earlier turns


class Encodes(Protocol):
    """A sentence encoder, as far as reading needs it."""

    def encode(self, texts: list[str]) -> Floats:
        """Unit vectors, shape (texts, dimension)."""
        ...


def read(weights: Weights, grams: Grams, embedding: Floats | None = None) -> Reading:
    """Score one text; with an embedding, probabilities are the mean of both heads'."""
    row = features.row(grams, weights.idf)
    raw: Floats = row.values @ weights.matrix[row.columns] + weights.bias
    logits = np.asarray(raw / weights.temperature, np.float32)
    if embedding is not None and weights.sentence is not None:
        logits = _averaged(logits, weights.sentence, embedding)
    known_share, topic_words = _familiarity(weights, grams)
    known_letters = _known(weights, grams.letters)
    leaning = float(row.values @ weights.follow_up.weights[row.columns]) + weights.follow_up.bias
    return Reading(
        logits, log_sum_exp(raw), known_share, known_letters, topic_words, sigmoid(leaning)
    )


def _averaged(logits: Floats, head: SentenceHead, embedding: Floats) -> Floats:
    other: Floats = (embedding @ head.matrix + head.bias) / np.float32(head.temperature)
    return np.log(0.5 * softmax(logits) + 0.5 * softmax(other) + 1e-12).astype(np.float32)


def _familiarity(weights: Weights, grams: Grams) -> tuple[float, float]:
    word_idf = weights.idf[grams.words]
    ceiling = float(weights.idf.max())
    cue_mass = ceiling * len(grams.cues)  # a cue counts as a word that training knows
    total = float(word_idf.sum()) + cue_mass
    known = float((word_idf * weights.seen[grams.words]).sum()) + cue_mass
    topical = int((word_idf > COMMON_IDF_SHARE * ceiling).sum())
    return (known / total if total else 0.0), float(topical)


def _known(weights: Weights, columns: Columns) -> float:
    mass = weights.idf[columns]
    total = float(mass.sum())
    return float(mass @ weights.seen[columns]) / total if total else 0.0


def signals_of(reading: Reading) -> Floats:
    """(5,): lead of general, log p(best), margin, known letters, energy; for ``Outlier``."""
    chances = np.log(softmax(reading.logits) + 1e-9)
    ranked = np.sort(np.append(chances[:-1], np.float32(-20.0)))  # one domain: no second
    best = ranked[-1] if len(chances) > 1 else np.float32(-20.0)
    return np.array(
        [
            np.clip(chances[-1] - best, -12.0, 12.0),
            best,
            np.clip(best - ranked[-2], 0.0, 6.0),
            reading.known_letters,
            reading.energy,
        ],
        np.float32,
    )


def outlier_score(outlier: Outlier, reading: Reading) -> float:
    """Probability, 0..1, that no domain claims the text; ``general`` is the last label."""
    return sigmoid(float(signals_of(reading) @ outlier.weights) + outlier.bias)


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(z, -30.0), 30.0)))


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis."""
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True), np.float32)


def log_sum_exp(logits: Floats) -> float:
    top = float(logits.max())
    return top + float(np.log(np.exp(logits - top).sum()))
