"""What a request does to its row's logits before they are sampled: penalties and biases.

``BatchGenerator`` gives each row's processors that row's tokens and logits only, and skips
rows without any. Refuses to keep state: all is computed from the tokens each time.
Penalties as vLLM applies them (``vllm/model_executor/layers/utils.py``, apply_penalties);
not by mlx-lm's processors, which see the last 20 tokens and count the prompt's as generated.
"""

from collections.abc import Callable, Sequence

import mlx.core as mx

from worker.engine.request import SamplingParams

Processor = Callable[[mx.array, mx.array], mx.array]
"""Tokens so far, prompt first (tokens,), and logits (1, vocabulary) -> logits, same dtype."""

BAN = -100.0
FORCE = 100.0


def row_processors(params: SamplingParams, prompt_tokens: int) -> list[Processor]:
    """Empty where nothing is asked for. The bias is last: no penalty undoes a ban."""
    processors: list[Processor] = []
    if params.repetition_penalty != 1:
        processors.append(_repetition(params.repetition_penalty))
    if params.frequency_penalty or params.presence_penalty:
        processors.append(
            _occurrence(params.frequency_penalty, params.presence_penalty, prompt_tokens)
        )
    if params.logit_bias:
        processors.append(_bias(params.logit_bias))
    return processors


def _repetition(penalty: float) -> Processor:
    """Divide positive logits of tokens in prompt or answer, multiply the others."""

    def process(tokens: mx.array, logits: mx.array) -> mx.array:
        at = tokens[None]
        seen = mx.take_along_axis(logits, at, axis=-1)
        # a token that came twice is written twice, with the same value
        penalised = mx.where(seen > 0, seen / penalty, seen * penalty)
        return mx.put_along_axis(logits, at, penalised, axis=-1)

    return process


def _occurrence(frequency: float, presence: float, prompt_tokens: int) -> Processor:
    """Subtract ``frequency`` for each time a token was generated, ``presence`` once."""

    def process(tokens: mx.array, logits: mx.array) -> mx.array:
        generated = tokens[prompt_tokens:]
        # float32: half precision cannot count beyond some hundreds
        counts = mx.zeros(logits.shape[-1], mx.float32).at[generated].add(1.0)
        loss = frequency * counts + presence * (counts > 0)
        # the dtype stays: rows are joined again, and must not widen their batch-mates
        return (logits - loss).astype(logits.dtype)

    return process


def _bias(bias: Sequence[tuple[int, float]]) -> Processor:
    """Add to the logits; -100 bans a token, 100 leaves no other choice, however far it leads."""
    ids = mx.array([token for token, _ in bias])
    added = mx.array([value for _, value in bias], mx.float32)
    banned = mx.array([token for token, value in bias if value == BAN], mx.int32)
    forced = mx.array([token for token, value in bias if value == FORCE], mx.int32)

    def process(_: mx.array, logits: mx.array) -> mx.array:
        # finite: were all tokens banned, infinities would make NaN of the log-probabilities
        lowest = mx.array(mx.finfo(logits.dtype).min, logits.dtype)
        biased = logits.at[:, ids].add(added.astype(logits.dtype))
        if banned.size:
            biased[:, banned] = lowest
        if forced.size:
            others = mx.full(logits.shape, lowest)
            others[:, forced] = biased[:, forced]
            biased = others
        return biased

    return process
