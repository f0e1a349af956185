"""One row's way through its grammar: a logits processor. Owned by the engine thread."""

from typing import Any

import llguidance
import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wire.errors import EngineFailed
from worker.guidance.closing import Closing
from worker.guidance.masks import Masks, Words, ends_short

_STUCK = "the grammar is too complex to follow, or nothing can follow here; simplify it"


class Run:
    """Implements ``GuideRun``; raises EngineFailed where no token could follow."""

    def __init__(
        self,
        matcher: llguidance.LLMatcher,
        masks: Masks,
        eos: Words,
        closing: Closing,
        prompt_tokens: int,
        max_tokens: int,
    ) -> None:
        self._matcher = matcher
        self._masks = masks
        self._eos = eos
        self._closing = closing
        self._seen = prompt_tokens
        self._last = prompt_tokens + max_tokens

    @property
    def done(self) -> bool:
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def closing(self) -> bool:
        return self._closing.closing

    def __call__(self, tokens: Any, logits: Any) -> Any:
        for token in tokens[self._seen :].tolist():
            self._consume(int(token))
        self._seen = len(tokens)
        return self._masks.apply(self._next(logits), logits)

    def _consume(self, token: int) -> None:
        if self.done:  # the generator runs one step ahead of what ends a row
            return
        if not self._matcher.consume_token(token):
            raise EngineFailed(_STUCK)
        self._closing.on_token(token)

    def _next(self, logits: Any) -> Words:
        if self.done:
            return self._eos
        words = self._masks.of(self._matcher)
        if not words.any() or ends_short(self._matcher):
            raise EngineFailed(_STUCK)
        remaining = self._last - self._seen
        if remaining < 1 or not self._closing.wants_logits(remaining):
            return words
        allowed = self._closing.allowed(self._matcher, words, lambda: _on_host(logits), remaining)
        return words if allowed is None else self._masks.only(allowed)


def _on_host(logits: Any) -> NDArray[np.float32]:
    """Waits for the model's step; so only near the end of an answer."""
    return np.array(logits.astype(mx.float32)).reshape(-1)
