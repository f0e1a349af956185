"""Text embeddings of the bare base: the mean of its last hidden states, at unit length.

What is averaged is what the base turns into logits: the states after its final norm, over
all tokens of an input, in float32. All of it belongs to the engine thread. A base whose
states can't be found, or do not explain its logits, is refused at load.
"""

from collections.abc import Sequence
from typing import Any, cast

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

from fleet.errors import SourceError
from worker.lora.plan import BARE
from worker.lora.rows import Active

# one pass holds up the rows that are being generated, so a long input takes several
PASS_TOKENS = 512
PROBE_TOKENS = 16
# of the logits, relative: room for half precision and for soft-capped logits, not for
# states before the final norm, whose length differs from token to token
MAX_UNEXPLAINED = 0.1
_TINY = 1e-12


class Embedder:
    """Makes one vector at a time; ``size`` is how many numbers each has."""

    def __init__(self, base: nn.Module, active: Active, size: int) -> None:
        self._base = base
        self._states = cast(Any, find_states(base))
        self._active = active
        self.size = size

    @classmethod
    def load(cls, name: str, base: nn.Module, active: Active, vocabulary: int) -> "Embedder":
        """For a base whose adapters are wrapped already. Raises SourceError."""
        states = find_states(base)
        head = None if states is None else _head(base, states)
        if states is None or head is None:
            raise _refusal(name, "which of its modules makes the last hidden states is not known")
        active.publish([BARE])
        step = max(1, vocabulary // PROBE_TOKENS)
        tokens = mx.arange(0, vocabulary, step)[None, :PROBE_TOKENS]
        found = cast(mx.array, cast(Any, states)(tokens))
        if found.ndim != 3 or found.shape[:2] != tokens.shape:
            raise _refusal(name, f"'{type(states).__name__}' gives no states of each token")
        unexplained = _unexplained(cast(Any, base)(tokens), head(found))
        if not unexplained <= MAX_UNEXPLAINED:
            raise _refusal(name, "its logits are not made of its last hidden states alone")
        return cls(base, active, found.shape[2])

    def start(self, tokens: Sequence[int]) -> "Embedding":
        """The passes over one input, which has at least one token."""
        return Embedding(self, tokens)

    def new_cache(self) -> list[Any]:
        return make_prompt_cache(self._base)

    def sum_states(self, tokens: Sequence[int], cache: list[Any]) -> mx.array:
        """Sum over the next tokens' states, float32 (size,); evaluated, ``cache`` too."""
        # other rows' adapters are on the same layers: say for each pass that it has none
        self._active.publish([BARE])
        states = self._states(mx.array(list(tokens))[None], cache=cache)
        total = states[0].astype(mx.float32).sum(axis=0)
        mx.eval(total, [layer.state for layer in cache])
        return total


class Embedding:
    """One input on its way: ``step`` until it gives the vector. Between steps others may run."""

    def __init__(self, embedder: Embedder, tokens: Sequence[int]) -> None:
        self._embedder = embedder
        self._tokens = tokens
        self._done = 0
        self._cache: list[Any] | None = None
        self._sum: mx.array | None = None

    def step(self) -> list[float] | None:
        """One pass of at most ``PASS_TOKENS``; the vector after the last one, else None."""
        if self._cache is None:
            self._cache = self._embedder.new_cache()
        part = self._tokens[self._done : self._done + PASS_TOKENS]
        total = self._embedder.sum_states(part, self._cache)
        self._sum = total if self._sum is None else self._sum + total
        self._done += len(part)
        if self._done < len(self._tokens):
            return None
        self._cache = None
        return _unit(self._sum / len(self._tokens))


def find_states(base: nn.Module) -> nn.Module | None:
    """The module that feeds the head: ``model`` of mlx-lm's text models, also inside the
    ``language_model`` of those that see images; None where there is no such module."""
    states = _text_model(base).get("model")
    return states if isinstance(states, nn.Module) else None


def _text_model(base: nn.Module) -> nn.Module:
    while isinstance(base.get("language_model"), nn.Module):
        base = base["language_model"]
    return base


def _head(base: nn.Module, states: nn.Module) -> Any:
    """What makes logits of the states; None where it is neither of mlx-lm's two ways."""
    head = _text_model(base).get("lm_head")
    return head or getattr(states.get("embed_tokens"), "as_linear", None)


def _unexplained(logits: mx.array, made: mx.array) -> float:
    """How much of the logits is not one multiple of those made of the states, 0 to 1.

    One multiple for all: some models scale their logits.
    """
    logits, made = logits.astype(mx.float32), made.astype(mx.float32)
    if logits.shape != made.shape:
        return 1.0
    scale = (logits * made).sum() / (made * made).sum()
    rest = logits - scale * made
    return cast(float, mx.sqrt((rest * rest).sum() / (logits * logits).sum()).item())


def _unit(mean: mx.array) -> list[float]:
    length = mx.sqrt((mean * mean).sum())
    return cast(list[float], (mean / mx.maximum(length, _TINY)).tolist())


def _refusal(name: str, why: str) -> SourceError:
    return SourceError(name, f"can't serve embeddings: {why}; set bases.{name}.embeddings: false")
