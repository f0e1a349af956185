"""Which token ends an answer soonest: orders of the vocabulary, made once per tokenizer."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.guidance.masks import Bits

_SPECIAL, _CLOSE, _QUOTE, _VALUE, _MARK, _WORD, _OTHER, _SPACED, _LAST = range(9)
_PATTERNS = {
    _CLOSE: rb"[}\])]+",
    _QUOTE: rb'"[}\]]*',
    _VALUE: rb"null|true|false|\d",
    _MARK: rb"[!#-'*+\--/:-@\\^_`|~]+",
    _WORD: rb"[A-Za-z0-9]+",
    _OTHER: rb"[!-~]*[!-Z^-z|~]",
    _SPACED: rb"[ -~]+",
}
_WIDE = 8
_HEAD = 512


class Ranks:
    """Four orders. Which is right depends on whether brackets are structure here or text."""

    def __init__(self, texts: Sequence[bytes], eos: Sequence[int], special: Sequence[bool]) -> None:
        self._classes = np.array([_class(text) for text in texts], np.int32)
        self._classes[np.array(special, bool)] = _SPECIAL
        self._classes[list(eos)] = -1
        length = np.array([len(text) for text in texts], np.int32)
        # longer tokens first: a forced literal takes fewer of them
        structure = np.lexsort((-length, self._classes))
        text = np.lexsort((-length, self._promoted(_QUOTE)))
        # patterns repeat letters, and end with other characters
        marks = np.lexsort((length, self._promoted(_MARK)))
        # what leaves a number: a comma before its digits, and of those a zero last, since a
        # bound may allow 0.000... for ever
        leaving = np.lexsort((length, self._leaving(texts)))
        self._orders = [structure, text, marks, leaving]
        self._characters = np.flatnonzero((length == 1) & (self._classes > _SPECIAL))
        self._ranks = [_inverse(order) for order in self._orders]

    def first(self, bits: Bits, marks_first: bool) -> int:
        """The allowed token that ends most; one must be allowed."""
        # where much of the vocabulary may come this is text, and a bracket ends nothing
        wide = np.count_nonzero(bits) * _WIDE > len(bits)
        return self._best(bits, 2 if marks_first else int(wide))

    def leaving(self, bits: Bits) -> int:
        """The allowed token that leaves a number or a list soonest; one must be allowed."""
        return self._best(bits, 3)

    def any(self, bits: Bits, random: np.random.Generator) -> int:
        """An allowed token, each class of them as likely as another."""
        allowed = self._allowed(bits)
        classes = self._classes[allowed]
        chosen = random.choice(np.unique(classes))
        return int(random.choice(allowed[classes == chosen]))

    def characters(self, bits: Bits) -> list[int]:
        """The allowed tokens of one byte."""
        return self._characters[bits[self._characters] > 0].tolist()

    def _best(self, bits: Bits, order: int) -> int:
        head = self._orders[order][:_HEAD]
        among = bits[head]
        best = int(among.argmax())
        if among[best]:
            return int(head[best])
        allowed = self._allowed(bits)
        return int(allowed[self._ranks[order][allowed].argmin()])

    def _leaving(self, texts: Sequence[bytes]) -> NDArray[np.int32]:
        classes = self._classes.copy()
        classes[self._classes == _VALUE] = _MARK
        classes[self._classes == _MARK] = _VALUE
        for token, text in enumerate(texts):
            if text in (b",", b", "):
                classes[token] = _QUOTE
            elif text and not text.strip(b"0"):
                classes[token] = _LAST
        return classes

    def _allowed(self, bits: Bits) -> NDArray[np.int64]:
        return np.flatnonzero(bits[: len(self._classes)])

    def _promoted(self, kind: int) -> NDArray[np.int32]:
        return np.where(self._classes == kind, _SPECIAL, self._classes).astype(np.int32)


def _class(text: bytes) -> int:
    for kind, pattern in _PATTERNS.items():
        if re.fullmatch(pattern, text):
            return kind
    return _LAST


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks
