"""Text -> sparse numbers: words, word pairs, letters within words, strong cues.

Hashing only: no dictionary to ship, and the same text gives the same columns on every machine.
Every [start, end) of a text is hashed from one running sum, so the work is a few numpy calls
however many n-grams there are. Never raises, whatever the text: junk becomes features that
nobody has weights for.
"""

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.reading import cues

Columns = NDArray[np.int64]
Floats = NDArray[np.float32]
Codes = NDArray[np.uint64]

BUCKETS = 1 << 17
WIDTH = BUCKETS + len(cues.NAMES)
"""Columns of the feature space: hashed n-grams, then the cues."""
HEAD_CHARS = 1500
TAIL_CHARS = 600
MAX_CODES = 8000
WORD_SHARE, LETTER_SHARE, CUE_VALUE = 1.5, 1.8, 0.5

_PRIME = 0x9E3779B97F4A7C15 | 1
_POWERS: Codes = np.cumprod(np.full(MAX_CODES + 4, _PRIME, np.uint64)).astype(np.uint64)
_INVERSES: Codes = np.cumprod(np.full(MAX_CODES + 4, pow(_PRIME, -1, 1 << 64), np.uint64)).astype(
    np.uint64
)
_IS_WORD: NDArray[np.bool_] = np.array(
    [(chr(c).isalnum() or c == 95) if c < 192 else True for c in range(0x2000)], dtype=np.bool_
)


@dataclass(frozen=True)
class Grams:
    """What a text contains, uncounted: bucket columns with repeats, and cue columns."""

    words: Columns
    pairs: Columns
    letters: Columns
    cues: Columns


@dataclass(frozen=True)
class Row:
    """One row of the feature matrix: distinct columns, ascending within each block."""

    columns: Columns
    values: Floats


def excerpt(text: str) -> str:
    """The first and the last part of a long text; a short one whole."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def extract(text: str) -> Grams:
    """The n-grams and cues of a text (call ``excerpt`` first: cost grows with length)."""
    lower = text.lower()
    plain = codes_of(unicodedata.normalize("NFKD", lower), drop_marks=True)
    words, pairs = _words(plain)
    if not lower.isascii():
        kept = codes_of(unicodedata.normalize("NFC", lower), drop_marks=False)
        words = np.concatenate([words, _words(kept, only_accented=True)[0]])
    found = np.array(cues.find(lower), np.int64) + BUCKETS
    return Grams(words, pairs, _letters(plain), found)


def row(grams: Grams, idf: Floats) -> Row:
    """Sublinear counts times idf, each block of unit length, so that length doesn't decide."""
    word_block = np.concatenate([grams.words, grams.pairs])
    blocks = [_block(word_block, idf, WORD_SHARE), _block(grams.letters, idf, LETTER_SHARE)]
    values = np.full(len(grams.cues), CUE_VALUE, np.float32)
    return Row(
        np.concatenate([*(columns for columns, _ in blocks), grams.cues]),
        np.concatenate([*(numbers for _, numbers in blocks), values]),
    )


def _block(columns: Columns, idf: Floats, share: float) -> tuple[Columns, Floats]:
    distinct, counts = np.unique(columns, return_counts=True)
    values = np.asarray((1.0 + np.log(counts)) * idf[distinct], np.float32)
    length = float(np.sqrt(values @ values)) if len(values) else 0.0
    return distinct, np.asarray(values * (share / max(length, 1e-6)), np.float32)


def codes_of(text: str, *, drop_marks: bool) -> Codes:
    """Code points of a normalised text, a blank for each blank or control, and one at each end."""
    raw = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    if drop_marks:
        raw = raw[(raw < 0x300) | (raw > 0x36F)]
    codes = raw[:MAX_CODES].astype(np.uint64)
    codes[(codes <= 32) | (codes == 127) | ((codes >= 0x2000) & (codes < 0x2010))] = 32
    codes[codes == 0x2019] = 39
    edge = np.full(1, 32, np.uint64)
    return np.concatenate([edge, codes, edge])


def _hashes(codes: Codes, starts: Columns, ends: Columns, salt: int) -> Codes:
    """64-bit hash of each ``codes[start:end]``, the same wherever it stands in the text."""
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * _POWERS[: len(codes)], out=sums[1:])
    mixed = (sums[ends] - sums[starts]) * _INVERSES[starts] + np.uint64(salt * 0x632BE5AB)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(29))


def _bucket(hashes: Codes) -> Columns:
    return (hashes & np.uint64(BUCKETS - 1)).astype(np.int64)


def word_spans(codes: Codes, *, only_accented: bool = False) -> tuple[Columns, Columns]:
    """Where each word starts and ends."""
    inside = _IS_WORD[np.minimum(codes, 0x1FFF).astype(np.int64)]
    inside &= (codes < 0x2000) | (codes > 0x206F)
    steps = np.diff(inside.astype(np.int8))
    starts: Columns = np.flatnonzero(steps == 1) + 1
    ends: Columns = np.flatnonzero(steps == -1) + 1
    if only_accented:
        accents = np.concatenate([[0], np.cumsum(codes >= 192)])
        chosen = accents[ends] > accents[starts]
        starts, ends = starts[chosen], ends[chosen]
    return starts, ends


def _words(codes: Codes, *, only_accented: bool = False) -> tuple[Columns, Columns]:
    """Buckets of the words and of the pairs of neighbours."""
    starts, ends = word_spans(codes, only_accented=only_accented)
    hashes = _hashes(codes, starts, ends, 1)
    pairs = hashes[:-1] * np.uint64(0x9DDFEA08EB382D69) + hashes[1:]
    pairs ^= pairs >> np.uint64(32)
    return _bucket(hashes), _bucket(pairs)


def letter_starts(codes: Codes) -> list[tuple[int, Columns]]:
    """Sizes, 3 to 5, and where so many neighbours start that don't cross a blank."""
    blanks = np.concatenate([[0], np.cumsum(codes == 32)])
    found: list[tuple[int, Columns]] = []
    for size in (3, 4, 5):
        starts: Columns = np.arange(max(0, len(codes) - size + 1))
        whole = blanks[starts + size - 1] == blanks[starts + 1]
        found.append((size, starts[whole]))
    return found


def _letters(codes: Codes) -> Columns:
    """Buckets of the neighbouring characters of ``letter_starts``."""
    found: list[Any] = [
        _bucket(_hashes(codes, starts, starts + size, size))
        for size, starts in letter_starts(codes)
    ]
    return np.concatenate(found)
