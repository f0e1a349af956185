"""Samplers for rows of one batch.

Rows with the same unseeded parameters share one sampler object, so that ``BatchGenerator``
draws for them in one call. A row with a seed has its own key, and so draws the same tokens
whoever shares its batch (mlx_lm.server instead stops batching when a seed is given).
"""

from collections.abc import Callable
from functools import lru_cache

import mlx.core as mx
from mlx_lm.sample_utils import (
    apply_min_p,
    apply_top_k,
    apply_top_p,
    greedy_sampler,
    make_sampler,
)

from worker.engine.request import SamplingParams

Sampler = Callable[[mx.array], mx.array]


# below it the arithmetic of float32 leaves no token, or all alike; vLLM draws this line too
LEAST = 1e-5


def row_sampler(params: SamplingParams, vocabulary: int) -> Sampler:
    """Log-probabilities (rows, vocabulary) -> tokens (rows,)."""
    if params.temperature < LEAST or params.top_p < LEAST:
        return greedy_sampler
    # a top_k of the whole vocabulary is none; mlx-lm refuses it
    top_k = params.top_k if 0 < params.top_k < vocabulary else 0
    if params.seed is not None:
        return _seeded(params, top_k, params.seed)
    return _shared(params.temperature, params.top_p, params.min_p, top_k)


@lru_cache(maxsize=256)
def _shared(temperature: float, top_p: float, min_p: float, top_k: int) -> Sampler:
    return make_sampler(
        temp=temperature, top_p=top_p if top_p < 1 else 0.0, min_p=min_p, top_k=top_k
    )


def _seeded(params: SamplingParams, top_k: int, seed: int) -> Sampler:
    key = mx.random.key(seed & (2**63 - 1))

    def sample(logprobs: mx.array) -> mx.array:
        nonlocal key
        if params.top_p < 1:
            logprobs = apply_top_p(logprobs, params.top_p)
        if params.min_p > 0:
            logprobs = apply_min_p(logprobs, params.min_p)
        if top_k:
            logprobs = apply_top_k(logprobs, top_k)
        key, draw = mx.random.split(key)
        return mx.random.categorical(logprobs * (1 / params.temperature), key=draw)

    return sample
