"""Hand-made weights, small enough to reckon with."""

import numpy as np

from router.policy import Thresholds
from router.reading import features
from router.reading.features import Floats
from router.reading.head import Outlier, Weights

LABELS = ("emc", "power", "general")
EXEMPLARS = (
    ("emc", "conducted emissions with a LISN"),
    ("power", "buck converter rings"),
    ("general", "what shall we have for dinner"),
    ("emc", "radiated emissions of a cable"),
    ("power", "gate driver of a buck converter"),
    ("general", "a song for tonight"),
)


def blank(
    temperature: float = 1.0,
    limits: Thresholds | None = None,
    outlier: Outlier | None = None,
    words: tuple[str, ...] = (),
) -> Weights:
    """Every n-gram seen, every weight 0, never off-topic: a test sets what it needs.

    Without ``words``, texts are read as typed.
    """
    never = Outlier(np.zeros(5, np.float32), -20.0)
    return Weights(
        labels=LABELS,
        matrix=np.zeros((features.WIDTH, len(LABELS)), np.float32),
        bias=np.zeros(len(LABELS), np.float32),
        idf=np.ones(features.WIDTH, np.float32),
        seen=np.ones(features.WIDTH, np.bool_),
        temperature=temperature,
        outlier=outlier or never,
        thresholds=limits or Thresholds(outlier=0.5, margin=0.05, any_domain=0.4),
        exemplars=EXEMPLARS,
        words=words,
    )


def random_weights() -> Weights:
    """The same with chance weights, so that every column counts."""
    weights, chance = blank(temperature=0.7), np.random.default_rng(7)
    weights.matrix[:] = chance.normal(size=weights.matrix.shape)
    weights.bias[:] = chance.normal(size=len(LABELS))
    weights.idf[:] = chance.uniform(1.0, 8.0, features.WIDTH)
    return weights


def teach(weights: Weights, word: str, label: str, weight: float) -> None:
    """Give a word's own column a weight."""
    weights.matrix[features.extract(word).words, weights.labels.index(label)] = weight


class FixedEncoder:
    """A sentence encoder that finds every text alike."""

    def encode(self, texts: list[str]) -> Floats:
        return np.tile(np.array([1.0, 0.0], np.float32), (len(texts), 1))
