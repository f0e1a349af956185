"""Which words of a text speak for its best class rather than for the runner-up.

The head is linear, so the contributions of all terms and of the bias add up to the difference
of the two classes' logits. A word's letters count for the word.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from router.explaining.shown import shown
from router.explaining.spans import Spans, locate
from router.reading import cues, features
from router.reading.features import Columns, Grams, Row
from router.reading.head import Reading, Weights, read, softmax

FOR, AGAINST = 8, 4
TERM_CHARS = 48

Kind = Literal["word", "pair", "signs", "cue"]
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """One word, pair of neighbours, run of signs or cue, wherever in the text it stands."""

    kind: Kind
    text: str
    contribution: float  # to the logit of ``best`` less that of ``second``
    spans: tuple[tuple[int, int], ...] = ()  # characters of the text; none for a cue


@dataclass(frozen=True)
class Contrast:
    """Two classes and all that moves a text from the one to the other, strongest first."""

    best: str
    second: str
    difference: float
    bias: float
    terms: tuple[Term, ...]

    @property
    def pros(self) -> list[Term]:
        """The strongest terms for the best class, falling."""
        return [term for term in self.terms[:FOR] if term.contribution > 0]

    @property
    def cons(self) -> list[Term]:
        """The strongest terms for the second class, strongest first."""
        return [term for term in self.terms[: -AGAINST - 1 : -1] if term.contribution < 0]

    def words(self) -> list[Term]:
        """Words to try without: the strongest for, then the strongest against."""
        words = [term for term in self.terms if term.kind == "word"]
        pros = [term for term in words if term.contribution > 0][:FOR]
        return pros + [term for term in words[::-1] if term.contribution < 0][:AGAINST]


def contrast(weights: Weights, text: str, reading: Reading) -> Contrast | None:
    """Best class against second of a reading; None where there is but one class.

    ``text`` is the one as read (``router.read_as``), or contributions don't add up.
    """
    if len(weights.labels) < 2:
        return None
    order: list[int] = np.argsort(-reading.logits, kind="stable").tolist()
    best, second = order[:2]
    bias = float(weights.bias[best] - weights.bias[second]) / weights.temperature
    grams = features.extract(text)
    row = features.row(grams, weights.idf)
    rows = weights.matrix[row.columns].astype(np.float64)
    worth = row.values * (rows[:, best] - rows[:, second]) / weights.temperature
    terms = _terms(text, grams, row, worth)
    return Contrast(
        weights.labels[best],
        weights.labels[second],
        float(worth.sum()) + bias,
        bias,
        tuple(sorted(terms, key=lambda term: (-term.contribution, term.kind, term.text))),
    )


def halves(weights: Weights, text: str, reading: Reading, best: str) -> tuple[float, float]:
    """Probability of a class by the n-gram head and by the sentence head: their mean is read."""
    at = weights.labels.index(best)
    ngrams = float(softmax(read(weights, features.extract(text)).logits)[at])
    both = float(softmax(reading.logits)[at])
    return ngrams, min(max(2 * both - ngrams, 0.0), 1.0)


def _terms(text: str, grams: Grams, row: Row, worth: Shares) -> list[Term]:
    spans = locate(text)
    split = len(np.unique(np.concatenate([grams.words, grams.pairs])))
    end = len(row.columns) - len(grams.cues)
    words = _shares(row.columns[:split], worth[:split], grams.words, grams.pairs)
    letters = _shares(row.columns[split:end], worth[split:end], grams.letters)
    by_cue = zip(grams.cues, worth[end:], strict=True)
    found = _of_units(text, spans, words[: len(grams.words)], letters)
    found += _of_pairs(text, spans, words[len(grams.words) :])
    return found + [
        Term("cue", cues.NAMES[int(column) - features.BUCKETS], float(share))
        for column, share in by_cue
    ]


def _shares(distinct: Columns, worth: Shares, *blocks: Columns) -> Shares:
    """What each occurrence has of its column's worth."""
    at = np.searchsorted(distinct, np.concatenate(blocks))
    return worth[at] / np.bincount(at, minlength=1)[at]


def _of_units(text: str, spans: Spans, words: Shares, letters: Shares) -> list[Term]:
    owners = np.array([*spans.words, *spans.letters], np.int64)
    sums = np.bincount(owners, np.concatenate([words, letters]), minlength=len(spans.units))
    merged: dict[tuple[Kind, str], list[tuple[float, int, int]]] = {}
    for unit, total in zip(spans.units, sums.tolist(), strict=True):
        key = (unit.kind, text[unit.start : unit.end].lower())
        merged.setdefault(key, []).append((total, unit.start, unit.end))
    return _merged(merged)


def _of_pairs(text: str, spans: Spans, shares: Shares) -> list[Term]:
    merged: dict[tuple[Kind, str], list[tuple[float, int, int]]] = {}
    for (left, right), share in zip(spans.pairs, shares.tolist(), strict=True):
        first, second = spans.units[left], spans.units[right]
        words = (text[first.start : first.end], text[second.start : second.end])
        key = " ".join(words).lower()
        merged.setdefault(("pair", key), []).append((share, first.start, second.end))
    return _merged(merged)


def _merged(found: dict[tuple[Kind, str], list[tuple[float, int, int]]]) -> list[Term]:
    return [
        Term(
            kind,
            shown(text, TERM_CHARS),
            sum(share for share, _, _ in places),
            tuple(dict.fromkeys((start, end) for _, start, end in places)),
        )
        for (kind, text), places in found.items()
    ]
