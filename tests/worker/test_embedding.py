"""The base's vectors against its hidden states as mlx-lm computes them, adapters or not."""

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from fleet.errors import SourceError
from tests.worker.lora.tiny import VOCABULARY, tiny_model
from worker.base import LoadedBase, load_base
from worker.embedding import PASS_TOKENS, Embedder
from worker.lora.files import read_adapter
from worker.lora.model import AdapterModel, linear_layers
from worker.lora.rows import Active
from worker.lora.slots import BatchSlots

DEMO = Path(__file__).resolve().parents[2] / "demo"
ADAPTER = {"apertus": "dsp", "devstral": "cpp"}
BASES = tuple(ADAPTER)
LENGTHS = (1, 2, 17, PASS_TOKENS, PASS_TOKENS + 1, 2 * PASS_TOKENS + 3)


def load(name: str) -> LoadedBase:
    return load_base(name, DEMO / "models" / name, "float32", None)


def adapted(base: LoadedBase) -> AdapterModel:
    """The base with one adapter wrapped around its layers."""
    source = DEMO / "adapters" / ADAPTER[base.name]
    file = read_adapter(ADAPTER[base.name], source, linear_layers(base.model))
    model = AdapterModel(base.model, 1, base.dtype)
    model.put(1, file)
    return model


def some_tokens(length: int) -> list[int]:
    return [(7 * i * i + 31 * i + 5) % 2000 for i in range(length)]


def reference(base: LoadedBase, tokens: Sequence[int]) -> np.ndarray:
    """The formula in one pass, without a cache, on a base without adapters."""
    model = getattr(base.model, "language_model", base.model)
    states = np.array(model.model(mx.array(tokens)[None]).astype(mx.float32))[0]
    mean = states.astype(np.float64).mean(axis=0)
    return mean / np.linalg.norm(mean)


def run(embedder: Embedder, tokens: Sequence[int]) -> list[float]:
    embedding = embedder.start(tokens)
    while True:
        vector = embedding.step()
        if vector is not None:
            return vector


@pytest.fixture(scope="module", params=BASES)
def pair(request: pytest.FixtureRequest) -> tuple[LoadedBase, AdapterModel, Embedder]:
    """A base left as it is, and the same with an adapter and the embedder over it."""
    base = load(request.param)
    model = adapted(base)
    return load(request.param), model, Embedder.load("b", base.model, model.active, 2048)


Pair = tuple[LoadedBase, AdapterModel, Embedder]


@pytest.mark.parametrize("length", LENGTHS)
def test_the_mean_of_the_last_hidden_states(pair: Pair, length: int) -> None:
    bare, _, embedder = pair
    tokens = some_tokens(length)
    vector = run(embedder, tokens)
    assert len(vector) == embedder.size == bare.config["hidden_size"]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(vector, reference(bare, tokens), atol=1e-5)


def test_what_feeds_the_head_of_the_bases_that_ship(pair: Pair) -> None:
    bare, _, embedder = pair
    tokens = some_tokens(9)
    states = embedder._states(mx.array(tokens)[None])  # pyright: ignore[reportPrivateUsage]
    made = embedder._states.embed_tokens.as_linear(states)  # pyright: ignore[reportPrivateUsage]
    logits = bare.model(mx.array(tokens)[None])
    np.testing.assert_allclose(np.array(made), np.array(logits), atol=1e-4)


def test_rows_with_adapters_between_the_passes(pair: Pair) -> None:
    bare, model, embedder = pair
    tokens = some_tokens(3 * PASS_TOKENS)

    def decode(disturb: bool) -> tuple[list[int], list[float]]:
        *cache, _ = model.new_cache(1)
        rows = [*cache, BatchSlots([1])]
        embedding, vector, drawn = embedder.start(tokens), None, [5]
        for _ in range(3):
            logits = model(mx.array([drawn[-1:]]), rows)
            drawn.append(int(logits[0, -1].argmax().item()))
            vector = embedding.step() if disturb else None
        return drawn, vector or []

    drawn, vector = decode(disturb=True)
    assert drawn == decode(disturb=False)[0]
    np.testing.assert_allclose(vector, reference(bare, tokens), atol=1e-5)
    model.active.publish([1])
    assert run(embedder, tokens) == pytest.approx(vector, abs=1e-6)


def test_two_inputs_at_once_do_not_mix(pair: Pair) -> None:
    bare, _, embedder = pair
    all_tokens = [some_tokens(PASS_TOKENS + 5), some_tokens(PASS_TOKENS + 40)[::-1]]
    under_way = [embedder.start(tokens) for tokens in all_tokens]
    assert [embedding.step() for embedding in under_way] == [None, None]
    for embedding, tokens in zip(under_way, all_tokens, strict=True):
        np.testing.assert_allclose(embedding.step(), reference(bare, tokens), atol=1e-5)


@pytest.mark.parametrize("bits", [None, 4])
def test_a_head_of_its_own_and_quantised_layers(bits: int | None) -> None:
    model = tiny_model(bits)
    embedder = Embedder.load("b", model, AdapterModel(model, 1, mx.float32).active, VOCABULARY)
    states = np.array(model.model(mx.array([[3, 9, 4]])))[0].mean(axis=0)
    expected = states / np.linalg.norm(states)
    np.testing.assert_allclose(run(embedder, [3, 9, 4]), expected, atol=1e-5)


class Inner(nn.Module):
    """Blocks and final norm; ``leaky`` gives what came before the norm."""

    def __init__(self, leaky: bool) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(64, 8)
        # tokens of very different lengths, as the states of real models are
        self.embed_tokens.weight *= mx.exp(mx.arange(64) / 12)[:, None]
        self.norm = nn.RMSNorm(8)
        self.leaky = leaky

    def __call__(self, tokens: mx.array) -> mx.array:
        h = self.embed_tokens(tokens)
        return h if self.leaky else self.norm(h)


class Outer(nn.Module):
    def __init__(self, leaky: bool, scale: float = 1.0, name: str = "model") -> None:
        super().__init__()
        self[name] = Inner(leaky)
        self.lm_head = nn.Linear(8, 64, bias=False)
        self.name, self.scale = name, scale

    def __call__(self, tokens: mx.array) -> mx.array:
        inner = self[self.name]
        h = inner(tokens)
        return self.lm_head(inner.norm(h) if inner.leaky else h) * self.scale


def test_logits_that_are_scaled_are_explained() -> None:
    model = Outer(leaky=False, scale=0.25)
    active = AdapterModel(tiny_model(), 1, mx.float32).active
    assert Embedder.load("b", model, active, 64).size == 8


@pytest.mark.parametrize("model", [Outer(leaky=True), Outer(leaky=False, name="backbone")])
def test_a_base_whose_states_are_not_found_is_refused(model: Outer) -> None:
    active: Active = AdapterModel(tiny_model(), 1, mx.float32).active
    with pytest.raises(SourceError, match=r"b: can't serve .* set bases\.b\.embeddings: false"):
        Embedder.load("b", model, active, 64)
