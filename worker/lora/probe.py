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

PROBE_TOKENS = 16
# below this the change is rounding, not training (float32 products differ by about 1e-5)
MIN_EFFECT = 1e-3


def probe_slot(model: AdapterModel, name: str, slot: int, vocabulary: int) -> float:
    """max |delta logit| of the adapter in ``slot``, over a fixed sequence of tokens spread over
    the vocabulary.

    Raises SourceError, with ``name``, when there is no effect, or NaN.
    """
    step = max(1, vocabulary // PROBE_TOKENS)
    tokens = mx.arange(0, vocabulary, step)[None, :PROBE_TOKENS]
    delta = model.logits(tokens, slot) - model.logits(tokens, BARE)
    effect = cast(float, mx.abs(delta.astype(mx.float32)).max().item())
    if not math.isfinite(effect):
        raise SourceError(name, "its logits are not finite; the weights are damaged or do not fit")
    if effect < MIN_EFFECT:
        raise SourceError(
            name,
            f"has no effect (max |delta logit| {effect:.2e}); the weights are untrained, or for "
            "another base",
        )
    return effect
