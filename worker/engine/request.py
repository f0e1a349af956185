"""What goes into the engine and what comes out of it. Plain data, no MLX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wire.errors import AilianceError
from wire.responses import FinishReason, Usage
from worker.residency.adapters import AdapterVersion


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


class GuideRun(Protocol):
    """One row's way through a grammar. Lives on the engine thread, called once a token."""

    @property
    def done(self) -> bool:
        """The answer is complete: no token can follow."""
        ...

    @property
    def closing(self) -> bool:
        """Tokens ran short, and those that end the answer were preferred."""
        ...

    def __call__(self, tokens: Any, logits: Any) -> Any:
        """A logits processor: tokens so far, prompt first (tokens,), logits (1, vocabulary)."""
        ...


class Guide(Protocol):
    """A compiled grammar that answers must follow. Immutable, safe from any thread."""

    def start(self, prompt_tokens: int, max_tokens: int) -> GuideRun:
        """A fresh run for one row of so many prompt tokens and at most so many new ones."""
        ...


@dataclass(frozen=True)
class GenerationRequest:
    """One sequence to generate. ``adapter`` None is the bare base.

    ``version``: the adapter's content; None: what its name means when the row is taken on.

    ``stop_token_ids`` end it as an end token does, also with ``ignore_eos``. ``logprobs`` and
    ``prompt_logprobs``: how many alternatives to report for each token of the answer and of
    the prompt; None reports nothing, 0 the token alone. ``max_tokens`` 0 is for the prompt's
    log-probabilities only. ``visible``: special tokens that make text here, as the marks around
    tool calls do. ``continues``: the answer goes on with the prompt's own text, so that a space at
    its beginning is a part of it.
    """

    prompt: Sequence[int]
    adapter: str | None
    max_tokens: int
    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    guide: Guide | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    visible: frozenset[int] = frozenset()
    continues: bool = False
    version: AdapterVersion | None = None


@dataclass(frozen=True)
class TokenLogprob:
    """A token and its natural-log probability; ``top``: the most likely ones, best first.

    Of the distribution after penalties, biases and guide, and before temperature, top_p, top_k
    and min_p; of a prompt's token, that of the bare model. -9999.0 stands for the impossible.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Scored:
    """The prompt's log-probabilities, before any text; the first token has none."""

    tokens: tuple[TokenLogprob | None, ...]


@dataclass(frozen=True)
class Text:
    """Some more of the answer; never a part of a character or of a stop string.

    ``tokens``: those whose text begins in it, where log-probabilities were asked for.
    """

    text: str
    tokens: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """Terminal: the answer is whole. ``stop``: the stop string, or the token of the request's
    ``stop_token_ids``, that ended it; None for the model's own end tokens.

    ``closed``: a constrained answer was brought to its end because its tokens ran short.
    ``tokens``: the token that ended it, where log-probabilities were asked for; it has no text.
    """

    reason: FinishReason
    usage: Usage
    stop: str | int | None = None
    closed: bool = False
    tokens: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Failed:
    """Terminal: there will be no more of the answer."""

    error: AilianceError


Event = Scored | Text | Finished | Failed
Sink = Callable[[Event], None]
"""Takes the events of one request, in order, on the event loop's thread."""
