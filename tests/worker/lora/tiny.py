"""A tiny model, random adapters for it, and mlx-lm's own LoRA layers as the yardstick."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_unflatten
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRAEmbedding as YardstickEmbedding
from mlx_lm.tuner.lora import LoRALinear as YardstickLinear

from worker.lora.files import AdapterFiles, Factors
from worker.lora.formats.folder import Format
from worker.lora.model import AdapterModel, linear_layers

VOCABULARY = 64
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
ALL = ATTENTION + MLP
EMBEDDINGS = "model.embed_tokens"


def tiny_model(bits: int | None = None, tied: bool = False) -> Model:
    """Two llama blocks of width 64, the same weights at each call. ``tied``: its embeddings
    make its logits."""
    args = ModelArgs(
        model_type="llama",
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=VOCABULARY,
        tie_word_embeddings=tied,
    )
    mx.random.seed(7)
    model = Model(args)
    # spread the logits, so that greedy tokens are no ties
    head = model.model.embed_tokens if tied else model.lm_head
    head.weight = mx.random.normal(head.weight.shape) * 0.5
    if bits is not None:
        nn.quantize(model, group_size=64, bits=bits)
    mx.eval(model.parameters())
    return model


def paths_of(leaves: Iterable[str], blocks: Iterable[int] = (0, 1)) -> list[str]:
    """Module paths of the named layers in the given blocks."""
    return [f"model.layers.{block}.{leaf}" for block in blocks for leaf in leaves]


def random_adapter(
    name: str,
    paths: Iterable[str],
    rank: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    form: Format = "mlx",
) -> AdapterFiles:
    """An adapter with a clear effect on the tiny model."""
    shapes = linear_layers(tiny_model())
    key = mx.random.key(seed + 1)
    factors: dict[str, Factors] = {}
    for path in paths:
        key, for_a, for_b = mx.random.split(key, 3)
        wide_in, wide_out = shapes[path]
        a = mx.random.normal((wide_in, rank), key=for_a) * 0.2
        b = mx.random.normal((rank, wide_out), key=for_b) * 0.2
        factors[path] = Factors(
            a, b, scale, tied=b if path == EMBEDDINGS and form == "mlx" else None
        )
    return AdapterFiles(name, Path(name), form, f"digest-{name}", rank, factors)


def with_magnitude(adapter: AdapterFiles) -> AdapterFiles:
    """The same as DoRA: magnitudes that are not those of the base, but near them."""
    modules = dict(tiny_model().named_modules())
    factors: dict[str, Factors] = {}
    for at, (path, f) in enumerate(adapter.factors.items()):
        norm = mx.linalg.norm(modules[path].weight, axis=1)
        spread = mx.random.uniform(0.7, 1.4, norm.shape, key=mx.random.key(at))
        factors[path] = replace(f, magnitude=norm * spread)
    return replace(adapter, factors=factors)


def model_with(
    adapters: Sequence[AdapterFiles],
    base: nn.Module | None = None,
    dtype: mx.Dtype = mx.float32,
) -> AdapterModel:
    """The tiny model, or another base, with the adapters in slots 1 and up."""
    model = AdapterModel(tiny_model() if base is None else base, max(1, len(adapters)), dtype)
    for slot, adapter in enumerate(adapters, start=1):
        model.put(slot, adapter)
    return model


class PeftTable(nn.Module):
    """Embeddings as PEFT has them: the delta added to the weight that tokens look up, and an
    output layer that is tied to the table left as it was."""

    def __init__(self, base: nn.Module, f: Factors) -> None:
        super().__init__()
        self.base = base
        everything = base(mx.arange(VOCABULARY))
        self.adapted = everything + f.scale * (f.a @ f.b)

    def __call__(self, tokens: mx.array) -> mx.array:
        return self.adapted[tokens]

    def as_linear(self, h: mx.array) -> mx.array:
        return self.base.as_linear(h)


def yardstick(adapter: AdapterFiles | None, bits: int | None = None, tied: bool = False) -> Model:
    """A fresh tiny model with one adapter in mlx-lm's own LoRA layers, or with none; the
    embeddings of an adapter from PEFT by hand."""
    model = tiny_model(bits, tied)
    if adapter is None:
        return model
    modules = dict(model.named_modules())
    layers = []
    for path, factors in adapter.factors.items():
        rank = factors.a.shape[1]
        if path == EMBEDDINGS and adapter.format == "peft":
            layers.append((path, PeftTable(modules[path], factors)))
            continue
        kind = YardstickLinear if factors.magnitude is None else DoRALinear
        if path == EMBEDDINGS:
            kind = YardstickEmbedding
        layer = kind.from_base(modules[path], r=rank, scale=factors.scale)
        layer.lora_a, layer.lora_b = factors.a, factors.b
        if factors.magnitude is not None:
            layer.m = factors.magnitude
        layers.append((path, layer))
    model.update_modules(tree_unflatten(layers))
    return model.eval()


def greedy_alone(adapter: AdapterFiles | None, prompt: Sequence[int], count: int) -> list[int]:
    """Greedy tokens by plain full forward passes of the yardstick, without any cache."""
    model = yardstick(adapter)
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(mx.argmax(model(mx.array([tokens]))[0, -1]).item()))
    return tokens[len(prompt) :]
