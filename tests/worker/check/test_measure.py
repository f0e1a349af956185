"""What is measured comes in pieces that others may wait for."""

from pathlib import Path

import mlx.core as mx
import pytest

from worker.base import LoadedBase, load_base
from worker.check.examples import Example
from worker.check.measure import PREFILL_TOKENS, Measure
from worker.lora.model import AdapterModel
from worker.pieces import whole

DEMO = Path(__file__).resolve().parents[3] / "demo"
LONG = Example([{"role": "user", "content": "What is a fuse? " * 60}], "It melts, and opens. " * 50)
SHORT = Example([{"role": "user", "content": "What is a fuse?"}], "It melts.")


class Watched(AdapterModel):
    """Notes how many tokens each forward pass has."""

    def __init__(self, base: LoadedBase) -> None:
        super().__init__(base.model, 1, base.dtype)
        self.lengths: list[int] = []

    def __call__(self, inputs: mx.array, cache: list[object]) -> mx.array:
        self.lengths.append(inputs.shape[1])
        return super().__call__(inputs, cache)

    def logits(self, inputs: mx.array, slot: int) -> mx.array:
        self.lengths.append(inputs.shape[1])
        return super().logits(inputs, slot)


@pytest.fixture(scope="module")
def base() -> LoadedBase:
    return load_base("base", DEMO / "models" / "apertus", "float32", None)


def test_a_long_example_is_as_many_pieces_as_a_prefill(base: LoadedBase) -> None:
    """One pass over it held up everybody, with logits of every token in memory at once."""
    model = Watched(base)
    pieces = Measure(base, model).perplexity([LONG], 0)
    count = sum(1 for _ in pieces)
    assert sum(model.lengths) > PREFILL_TOKENS
    assert max(model.lengths) <= PREFILL_TOKENS
    assert count == len(model.lengths)


@pytest.mark.parametrize("example", [LONG, SHORT])
def test_it_is_the_perplexity_of_one_pass(base: LoadedBase, example: Example) -> None:
    model = AdapterModel(base.model, 1, base.dtype)
    measure = Measure(base, model)
    prompt = measure._prompt(example.turns)
    answer = base.tokenizer.encode(example.answer, add_special_tokens=False)
    logits = model.logits(mx.array([[*prompt, *answer][:-1]]), 0)[0, len(prompt) - 1 :]
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    taken = mx.take_along_axis(logprobs, mx.array(answer)[:, None], axis=-1)
    expected = mx.exp(-taken.mean()).item()
    assert whole(measure.perplexity([example], 0)) == pytest.approx(expected, rel=1e-4)
