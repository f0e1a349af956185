"""What goes into the engine and what comes out of it. Plain data, no MLX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wire.errors import AilianceError
from wire.responses import FinishReason, Usage


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is drawn. ``temperature`` 0 is greedy; 0 turns top_k, min_p off.

    Neutral are a repetition penalty of 1 and other penalties of 0. ``logit_bias``: pairs of a
    token id in the vocabulary, each once, and -100 (never) to 100 (nothing else).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class GenerationRequest:
    """One sequence to generate. ``adapter`` None is the bare base.

    ``stop_token_ids`` end it as an end token does, also with ``ignore_eos``.
    """

    prompt: Sequence[int]
    adapter: str | None
    max_tokens: int
    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Text:
    """Some more of the answer; never a part of a character or of a stop string."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Terminal: the answer is whole."""

    reason: FinishReason
    usage: Usage


@dataclass(frozen=True)
class Failed:
    """Terminal: there will be no more of the answer."""

    error: AilianceError


Event = Text | Finished | Failed
Sink = Callable[[Event], None]
"""Takes the events of one request, in order, on the event loop's thread."""
