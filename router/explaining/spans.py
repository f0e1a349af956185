"""Where in a text each n-gram of ``features.extract`` stands. Slow: for explanations only.

Lower-casing and normalising change lengths, so each code point keeps the character it came
from. That works by counting: both work on one character at a time, and what they reorder
(marks, the final sigma) stays within a word.
"""

import unicodedata
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from router.reading import features
from router.reading.features import Codes, Columns

Kind = Literal["word", "signs"]


@dataclass(frozen=True)
class Unit:
    """A word, or a run of signs outside words, as characters [start, end) of the text."""

    kind: Kind
    start: int
    end: int


@dataclass
class Spans:
    """The units of a text, and which one each n-gram belongs to, in the order of ``Grams``."""

    units: list[Unit]
    words: list[int] = field(default_factory=list[int])
    pairs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    letters: list[int] = field(default_factory=list[int])


def locate(text: str) -> Spans:
    """Find all n-grams of a text that is not longer than an excerpt."""
    codes = features.codes_of(unicodedata.normalize("NFKD", text.lower()), drop_marks=True)
    origins = _plain_origins(text)
    starts, ends = features.word_spans(codes)
    spans = Spans(_units("word", starts, ends, origins))
    count = len(spans.units)
    spans.words = list(range(count))
    spans.pairs = list(zip(spans.words[:-1], spans.words[1:], strict=True))
    at = np.full(len(codes), -1, np.int64)
    for unit, (start, end) in enumerate(zip(starts, ends, strict=True)):
        at[start:end] = unit
    sign_starts, sign_ends = _runs((at < 0) & (codes != 32))
    for unit, (start, end) in enumerate(zip(sign_starts, sign_ends, strict=True), count):
        at[start:end] = unit
    spans.units += _units("signs", sign_starts, sign_ends, origins)
    spans.letters = _owners_of_letters(codes, at, count)
    if not text.lower().isascii():
        _add_accented(spans, text, count)
    return spans


def _owners_of_letters(codes: Codes, at: Columns, words: int) -> list[int]:
    """The word at the middle of each n-gram, or else nearest to it, or else its signs."""
    owners: list[int] = []
    for size, starts in features.letter_starts(codes):
        middle = starts + size // 2
        found = np.full(len(starts), -1, np.int64)
        for offset in sorted(range(size), key=lambda offset: abs(offset - size // 2)):
            unit = at[starts + offset]
            found = np.where((found < 0) & (unit >= 0) & (unit < words), unit, found)
        owners += np.where(found < 0, at[middle], found).tolist()
    return owners


def _add_accented(spans: Spans, text: str, count: int) -> None:
    """Words with accents count once more, in their composed form."""
    codes = features.codes_of(unicodedata.normalize("NFC", text.lower()), drop_marks=False)
    starts, ends = features.word_spans(codes, only_accented=True)
    firsts = np.array([unit.start for unit in spans.units[:count]], np.int64)
    for unit in _units("word", starts, ends, _composed_origins(text)):
        nearest = int(np.searchsorted(firsts, unit.start, "right")) - 1
        if nearest >= 0 and unit.start < spans.units[nearest].end:
            spans.words.append(nearest)
        else:
            spans.words.append(len(spans.units))
            spans.units.append(unit)


def _units(kind: Kind, starts: Columns, ends: Columns, origins: Columns) -> list[Unit]:
    """Up to the next character, so that marks which were dropped belong to it."""
    return [
        Unit(kind, int(origins[s]), max(int(origins[e]), int(origins[e - 1]) + 1))
        for s, e in zip(starts, ends, strict=True)
    ]


def _runs(inside: NDArray[np.bool_]) -> tuple[Columns, Columns]:
    steps = np.diff(inside.astype(np.int8))
    return np.flatnonzero(steps == 1) + 1, np.flatnonzero(steps == -1) + 1


def _plain_origins(text: str) -> Columns:
    """For each code of ``codes_of(..., drop_marks=True)`` the index of its character."""
    lengths = [len(unicodedata.normalize("NFKD", c.lower())) for c in text]
    codes = unicodedata.normalize("NFKD", text.lower())
    kept = np.array([not "\u0300" <= c <= "\u036f" for c in codes], np.bool_)
    return _with_edges(np.repeat(np.arange(len(text)), lengths)[kept], len(text))


def _composed_origins(text: str) -> Columns:
    """The same for the composed form, which comes from the decomposed one."""
    lengths = [len(unicodedata.normalize("NFD", c.lower())) for c in text]
    composed = unicodedata.normalize("NFC", text.lower())
    taken = np.array([len(unicodedata.normalize("NFD", c)) for c in composed], np.int64)
    firsts = np.cumsum(taken) - taken
    return _with_edges(np.repeat(np.arange(len(text)), lengths)[firsts], len(text))


def _with_edges(origins: Columns, length: int) -> Columns:
    cut = origins[: features.MAX_CODES]
    after = origins[features.MAX_CODES] if len(origins) > len(cut) else length
    return np.concatenate([[0], cut, [after]]).astype(np.int64)
