"""Log-probabilities of tokens as they are reported: the token's own and the most likely ones.

Natural logs of the distribution after penalties, biases and guide, before temperature, top_p,
top_k and min_p. What is impossible is reported as -9999.0, since JSON has no infinities.
"""

from collections.abc import Sequence
from typing import Any, cast

import mlx.core as mx

from worker.engine.request import TokenLogprob

LOWEST = -9999.0


def report_tokens(
    logits: mx.array, tokens: Sequence[int], tops: Sequence[int]
) -> list[TokenLogprob]:
    """What is reported of one token a row; ``tops``: how many alternatives each row asks for.

    ``logits`` (rows, vocabulary), of any dtype, normalised or not; one evaluation for all rows.
    """
    # half precision rounds the norm of all tokens alike: float32 takes that out again
    wide = logits.astype(mx.float32)
    logprobs = wide - mx.logsumexp(wide, axis=-1, keepdims=True)
    own = mx.take_along_axis(logprobs, mx.array(list(tokens))[:, None], axis=-1)[:, 0]
    best = _best(logprobs, min(max(tops), logprobs.shape[-1]))
    values = mx.take_along_axis(logprobs, best, axis=-1)
    mx.eval(own, best, values)
    pairs = zip(_lists(best), _lists(values), strict=True)
    return [
        TokenLogprob(token, _finite(logprob), _ranked(ids, probabilities)[:top])
        for token, logprob, top, (ids, probabilities) in zip(
            tokens, cast(list[float], own.tolist()), tops, pairs, strict=True
        )
    ]


def report_responses(
    responses: Sequence[Any], tops: Sequence[int | None]
) -> list[TokenLogprob | None]:
    """What is reported of each response of mlx-lm's; those that ask, computed together.

    ``tops`` None: the row asks for nothing, and pays nothing.
    """
    asking = [(r, top) for r, top in zip(responses, tops, strict=True) if top is not None]
    if not asking:
        return [None] * len(responses)
    logprobs = mx.stack([r.logprobs for r, _ in asking])
    found = iter(report_tokens(logprobs, [r.token for r, _ in asking], [top for _, top in asking]))
    return [None if top is None else next(found) for top in tops]


def _best(logprobs: mx.array, count: int) -> mx.array:
    """Ids of the ``count`` most likely tokens of each row, unordered; of equals the lowest ids."""
    if not count:
        return mx.zeros((logprobs.shape[0], 0), mx.int32)
    vocabulary = logprobs.shape[-1]
    least = mx.min(mx.topk(logprobs, count, axis=-1), axis=-1, keepdims=True)
    at_least = mx.where(logprobs == least, mx.arange(vocabulary), vocabulary)
    place = mx.where(logprobs > least, -1, at_least)
    return mx.argpartition(place, kth=count - 1, axis=-1)[:, :count]


def _ranked(ids: Sequence[int], values: Sequence[float]) -> tuple[tuple[int, float], ...]:
    pairs = [(token, _finite(value)) for token, value in zip(ids, values, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _finite(value: float) -> float:
    # written so that NaN is lowest too
    return value if value > LOWEST else LOWEST


def _lists(array: mx.array) -> list[list[int]]:
    return cast(list[list[int]], array.tolist())
