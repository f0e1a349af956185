"""Token masks: which tokens may come next, as bits, and their way onto the logits.

Disallowed tokens get minus infinity, not the dtype's lowest number: a bias of -100 makes a token
the lowest, and where all allowed ones are banned so, one of them must still win over the others.
No NaN comes of it, since a mask never is empty: the maximum is finite, -inf minus it is -inf,
its exponential an exact 0, which neither argmax nor a draw nor top-p can pick.
"""

from collections.abc import Iterable
from typing import Any

import llguidance
import llguidance.mlx
import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.int32]
"""A mask, (vocabulary / 32 rounded up,): one bit per token, lowest bit first."""

Bits = NDArray[np.uint8]
"""The same, (vocabulary,), 0 or 1."""


class Masks:
    """Makes masks of one width; the padding of a vocabulary beyond the tokenizer is never in."""

    def __init__(self, vocabulary: int, known: int) -> None:
        self._vocabulary = vocabulary
        self._known = np.zeros(_padded(vocabulary), np.uint8)
        self._known[: min(known, vocabulary)] = 1
        self._known_words = _packed(self._known)
        self._on_metal = mx.metal.is_available() and mx.default_device() == mx.gpu

    def of(self, matcher: llguidance.LLMatcher) -> Words:
        """What the matcher allows next; all zeros where it fails."""
        words = np.zeros(len(self._known_words), np.int32)
        matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        return words & self._known_words

    def only(self, tokens: Iterable[int]) -> Words:
        bits = np.zeros(len(self._known), np.uint8)
        bits[[token for token in tokens if token < self._vocabulary]] = 1
        return _packed(bits)

    def bits(self, words: Words) -> Bits:
        return np.unpackbits(words.view(np.uint8), bitorder="little")[: self._vocabulary]

    def apply(self, words: Words, logits: Any) -> Any:
        """Logits (1, vocabulary) with minus infinity where the mask has no bit; same dtype."""
        if self._on_metal:
            return llguidance.mlx.apply_token_bitmask(logits, words)
        allowed = mx.array(self.bits(words)).astype(mx.bool_)
        return mx.where(allowed[None], logits, mx.array(-mx.inf, logits.dtype))


def ends_short(matcher: llguidance.LLMatcher) -> bool:
    """The matcher gave up, at a limit or a dead end; it then allows an end token and no more."""
    return matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting())


def _padded(vocabulary: int) -> int:
    return (vocabulary + 31) // 32 * 32


def _packed(bits: Bits) -> Words:
    return np.packbits(bits, bitorder="little").view(np.int32)
