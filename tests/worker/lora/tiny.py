"""A tiny model, random adapters for it, and mlx-lm's own LoRA layers as the yardstick."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_unflatten
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear as YardstickLinear

from worker.lora.files import AdapterFiles, Factors
from worker.lora.model import AdapterModel, linear_layers

VOCABULARY = 64
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
ALL = ATTENTION + MLP


def tiny_model(bits: int | None = None) -> Model:
    """Two llama blocks of width 64, the same weights at each call."""
    args = ModelArgs(
        model_type="llama",
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=VOCABULARY,
        tie_word_embeddings=False,
    )
    mx.random.seed(7)
    model = Model(args)
    # spread the logits, so that greedy tokens are no ties
    model.lm_head.weight = mx.random.normal(model.lm_head.weight.shape) * 0.5
    if bits is not None:
        nn.quantize(model, group_size=64, bits=bits)
    mx.eval(model.parameters())
    return model


def paths_of(leaves: Iterable[str], blocks: Iterable[int] = (0, 1)) -> list[str]:
    """Module paths of the named layers in the given blocks."""
    return [f"model.layers.{block}.{leaf}" for block in blocks for leaf in leaves]


def random_adapter(
    name: str, paths: Iterable[str], rank: int = 4, scale: float = 2.0, seed: int = 0
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
        factors[path] = Factors(a, b, scale)
    return AdapterFiles(name, Path(name), "mlx", f"digest-{name}", rank, factors)


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


def yardstick(adapter: AdapterFiles | None, bits: int | None = None) -> Model:
    """A fresh tiny model with one adapter in mlx-lm's own LoRA layers, or with none."""
    model = tiny_model(bits)
    if adapter is None:
        return model
    modules = dict(model.named_modules())
    layers = []
    for path, factors in adapter.factors.items():
        rank = factors.a.shape[1]
        kind = YardstickLinear if factors.magnitude is None else DoRALinear
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
