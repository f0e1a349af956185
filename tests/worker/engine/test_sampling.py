"""Draws at the edges of their parameters."""

from typing import Any

import mlx.core as mx
import pytest

from worker.engine.request import SamplingParams
from worker.engine.sampling import row_sampler

LOGPROBS = mx.log(mx.softmax(mx.random.normal((1, 2048), key=mx.random.key(0)) * 3, axis=-1))


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 1e-300},
        {"temperature": 1e-39},
        {"temperature": 2e-5},
        {"top_p": 1e-300},
        {"top_p": 1e-9},
        {"top_p": 2e-5},
        {"temperature": 2.0, "top_k": 1},
        {"temperature": 2.0, "min_p": 1.0},
    ],
)
def test_what_leaves_one_token_draws_it(fields: dict[str, Any], seed: int | None) -> None:
    """A temperature or top_p that float32 can't hold drew any token at all."""
    sample = row_sampler(SamplingParams(**fields, seed=seed), 2048)
    best = int(mx.argmax(LOGPROBS).item())
    assert [int(sample(LOGPROBS).item()) for _ in range(20)] == [best] * 20
