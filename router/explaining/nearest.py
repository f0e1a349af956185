"""Which training prompts a text is like: cosine over its n-grams, by an inverted index."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np

from router import Router
from router.explaining.shown import shown
from router.reading import features
from router.reading.features import Columns, Floats, Row
from router.reading.head import Weights

NEAREST = 5
TEXT_CHARS = 160


@dataclass(frozen=True)
class Neighbour:
    """A training prompt, and how like it a text is: 0..1."""

    label: str
    text: str
    likeness: float


class Index:
    """The n-grams of the exemplars, sorted by column. Read-only once built."""

    def __init__(self, weights: Weights) -> None:
        self._idf = weights.idf
        self._exemplars = weights.exemplars
        rows = [_row(text, weights.idf) for _, text in weights.exemplars]
        columns, values = _joined(rows)
        owners = np.repeat(np.arange(len(rows)), [len(row.columns) for row in rows])
        order = np.argsort(columns, kind="stable")
        self._owners = owners[order].astype(np.int32)
        self._values = values[order]
        counts = np.bincount(columns, minlength=features.WIDTH)
        self._firsts = np.concatenate([[0], np.cumsum(counts)])

    def nearest(self, text: str) -> list[Neighbour]:
        """The exemplars most like a text, falling; those that share nothing are left out."""
        row = _row(text, self._idf)
        firsts = self._firsts[row.columns]
        counts = self._firsts[row.columns + 1] - firsts
        ends = np.cumsum(counts)
        places = np.arange(int(counts.sum())) + np.repeat(firsts - ends + counts, counts)
        products = self._values[places] * np.repeat(row.values, counts)
        likeness = np.bincount(self._owners[places], products, len(self._exemplars))
        best = np.argsort(-likeness, kind="stable")[:NEAREST]
        return [self._neighbour(int(at), float(likeness[at])) for at in best if likeness[at] > 0]

    def _neighbour(self, at: int, likeness: float) -> Neighbour:
        label, text = self._exemplars[at]
        return Neighbour(label, shown(text, TEXT_CHARS), min(likeness, 1.0))


class Indexes:
    """One index per router, built when first asked for and dropped with the router."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._built: WeakKeyDictionary[Router, Index] = WeakKeyDictionary()

    def of(self, router: Router) -> Index:
        """The router's index; threads that ask meanwhile wait for the first one's."""
        with self._lock:
            index = self._built.get(router)
            if index is None:
                index = self._built[router] = Index(router.weights)
        return index


def _row(text: str, idf: Floats) -> Row:
    """Words, pairs and letters as one unit vector of distinct columns; no cues."""
    grams = features.extract(features.excerpt(text))
    row = features.row(grams, idf)
    end = len(row.columns) - len(grams.cues)
    columns, at = np.unique(row.columns[:end], return_inverse=True)
    values = np.bincount(at, row.values[:end], len(columns))
    length = max(float(np.sqrt(values @ values)), 1e-6)
    return Row(columns, np.asarray(values / length, np.float32))


def _joined(rows: Sequence[Row]) -> tuple[Columns, Floats]:
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    return (
        np.concatenate([row.columns for row in rows]),
        np.concatenate([row.values for row in rows]),
    )
