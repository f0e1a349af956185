"""Proof at load that an adapter does something: max |delta logit| against the bare base.

The largest class of complaints about LoRA serving anywhere is an adapter reported active
whose output is the base's. Here zero effect is a refusal.
"""

import math
from typing import cast

import mlx.core as mx

from fleet.errors import SourceError
from worker.lora.model import AdapterModel
from worker.lora.plan import BARE
from worker.pieces import Pieces

PROBE_TOKENS = 16
# below this the change is rounding, not training (float32 products differ by about 1e-5)
MIN_EFFECT = 1e-3


class Probe:
    """Compares adapters with the bare base, over a fixed sequence of tokens spread over the
    vocabulary; what the bare base says to it is computed once."""

    def __init__(self, model: AdapterModel, vocabulary: int) -> None:
        step = max(1, vocabulary // PROBE_TOKENS)
        self._tokens = mx.arange(0, vocabulary, step)[None, :PROBE_TOKENS]
        self._model = model
        self._bare: mx.array | None = None

    def proving(self, name: str, slot: int) -> Pieces[float]:
        """max |delta logit| of the adapter in ``slot``, a layer at a time.

        Raises SourceError, with ``name``, when there is no effect, or NaN.
        """
        if self._bare is None:
            self._bare = yield from self._model.logits_by_layer(self._tokens, BARE)
        effect = yield from self._effect(slot, self._tokens, self._bare)
        if effect < MIN_EFFECT:
            # embeddings may be trained for a few tokens only, and those not be in the sequence
            tokens = self._model.strongest_tokens(slot, PROBE_TOKENS)
            if tokens is not None:
                bare = yield from self._model.logits_by_layer(tokens, BARE)
                effect = yield from self._effect(slot, tokens, bare)
        if not math.isfinite(effect):
            raise SourceError(
                name, "its logits are not finite; the weights are damaged or do not fit"
            )
        if effect < MIN_EFFECT:
            raise SourceError(
                name,
                f"has no effect (max |delta logit| {effect:.2e}); the weights are untrained, or "
                "for another base",
            )
        return effect

    def _effect(self, slot: int, tokens: mx.array, bare: mx.array) -> Pieces[float]:
        adapted = yield from self._model.logits_by_layer(tokens, slot)
        return cast(float, mx.abs((adapted - bare).astype(mx.float32)).max().item())
