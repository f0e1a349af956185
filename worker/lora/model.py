"""A base with many adapters, as mlx-lm's ``BatchGenerator`` wants a model to be.

Unpatched mlx-lm: the layers are replaced in place by ``LoRALinear``, and a thin wrapper
takes the slots off the cache list before the base sees it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

from worker.lora.files import AdapterFiles, Shape
from worker.lora.kernels import choose_kernel
from worker.lora.layers import Active, LoRALinear, SharedInput
from worker.lora.plan import BARE
from worker.lora.slots import RowSlot

# layers of one block that read the same input, by the names all mlx-lm models use
SHARED_INPUTS: tuple[tuple[str, ...], ...] = (
    ("q_proj", "k_proj", "v_proj"),
    ("gate_proj", "up_proj"),
)


def linear_layers(model: nn.Module) -> dict[str, Shape]:
    """Module path -> (in, out) of every linear layer inside the blocks, also quantised ones."""
    return {
        path: layer_shape(module)
        for path, module in model.named_modules()
        if "layers." in path and isinstance(module, nn.Linear | nn.QuantizedLinear)
    }


def layer_shape(layer: Any) -> Shape:
    """(in, out) of a linear layer; a quantised one packs 32 / bits inputs in a word."""
    wide_out, wide_in = layer.weight.shape
    if isinstance(layer, nn.QuantizedLinear):
        wide_in = wide_in * 32 // layer.bits
    return wide_in, wide_out


class AdapterModel:
    """The base, and its adapters in slots 1..n in the order given."""

    def __init__(self, base: nn.Module, adapters: Sequence[AdapterFiles], dtype: mx.Dtype) -> None:
        self._base = base
        self.active = Active(choose_kernel(dtype))
        self.slots: Mapping[str, int] = {a.name: i for i, a in enumerate(adapters, start=1)}
        self._dtype = dtype
        if adapters:
            self._wrap(adapters)

    def new_cache(self, adapter: str | None) -> list[Any]:
        """Empty caches for one sequence, with its adapter's slot as the last element."""
        slot = BARE if adapter is None else self.slots[adapter]
        return [*make_prompt_cache(self._base), RowSlot(slot)]

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        """Logits (batch, seq, vocabulary); the last element of ``cache`` is ``BatchSlots``."""
        *kv, slots = cache
        self.active.publish(slots.slots)
        return self._base(inputs, cache=kv)

    def logits(self, inputs: mx.array, adapter: str | None) -> mx.array:
        """Logits of one sequence (1, seq) without a cache; for probes."""
        self.active.publish([BARE if adapter is None else self.slots[adapter]])
        return self._base(inputs)

    def _wrap(self, adapters: Sequence[AdapterFiles]) -> None:
        shapes = linear_layers(self._base)
        targets = {path for a in adapters for path in a.factors}
        for paths in _groups(targets):
            stacks = [_stack(path, shapes[path], adapters, self._dtype) for path in paths]
            shared = SharedInput([a for a, _ in stacks], self.active)
            for member, (path, (_, b)) in enumerate(zip(paths, stacks, strict=True)):
                parent, leaf = _parent(self._base, path)
                parent[leaf] = LoRALinear(parent[leaf], b, shared, member, self.active)


def _groups(targets: set[str]) -> list[list[str]]:
    """Targets grouped by shared input, each group in the order of ``SHARED_INPUTS``."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for path in sorted(targets):
        parent, _, leaf = path.rpartition(".")
        names = next((names for names in SHARED_INPUTS if leaf in names), (leaf,))
        groups.setdefault((parent, names), []).append(path)
    for (_, names), paths in groups.items():
        # members are applied in the order in which the blocks call them
        paths.sort(key=lambda path, names=names: names.index(path.rpartition(".")[2]))
    return list(groups.values())


def _stack(
    path: str, shape: Shape, adapters: Sequence[AdapterFiles], dtype: mx.Dtype
) -> tuple[mx.array, mx.array]:
    """A (slots, rank, in) and B (slots, rank, out) of one layer; absent adapters are zero.

    The scale is multiplied into B in float32, before the cast to the activation dtype.
    """
    rank = max(a.factors[path].a.shape[1] for a in adapters if path in a.factors)
    all_a = [mx.zeros((rank, shape[0]))]
    all_b = [mx.zeros((rank, shape[1]))]
    for adapter in adapters:
        factors = adapter.factors.get(path)
        if factors is None:
            all_a.append(all_a[0])
            all_b.append(all_b[0])
            continue
        short = rank - factors.a.shape[1]
        all_a.append(mx.pad(factors.a.T, [(0, short), (0, 0)]))
        all_b.append(mx.pad(factors.b * factors.scale, [(0, short), (0, 0)]))
    a, b = mx.stack(all_a).astype(dtype), mx.stack(all_b).astype(dtype)
    mx.eval(a, b)
    return a, b


def _parent(model: nn.Module, path: str) -> tuple[Any, str]:
    """The module (or list) that holds a path's last part, and that part."""
    *parts, leaf = path.split(".")
    node: Any = model
    for part in parts:
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node, leaf
