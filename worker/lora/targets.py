"""What of a base an adapter may target, and which of it shares an input. No arrays."""

from typing import Any

from mlx import nn

Shape = tuple[int, int]
InputKey = tuple[str, tuple[str, ...]]
"""Of layers that read the same input: their parent, and the names that may be among them."""

# where the base's own layer is inside a wrapped one
WRAPPED = ".linear"
# layers of one block that read the same input, by the names all mlx-lm models use
SHARED_INPUTS: tuple[tuple[str, ...], ...] = (
    ("q_proj", "k_proj", "v_proj"),
    ("gate_proj", "up_proj"),
)


def linear_layers(model: nn.Module) -> dict[str, Shape]:
    """Module path -> (in, out) of every linear layer that adapters may target, also quantised:
    those inside the blocks, and ``lm_head`` where the base has one."""
    found = {
        path.removesuffix(WRAPPED): layer_shape(module)
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.QuantizedLinear)
    }
    return {p: s for p, s in found.items() if "layers." in p or p.endswith("lm_head")}


def layer_shape(layer: Any) -> Shape:
    """(in, out) of a linear layer; a quantised one packs 32 / bits inputs in a word."""
    wide_out, wide_in = layer.weight.shape
    if isinstance(layer, nn.QuantizedLinear):
        wide_in = wide_in * 32 // layer.bits
    return wide_in, wide_out


def shared_input(path: str) -> InputKey:
    """Which layers of its parent read the same input, in the order in which blocks call them."""
    parent, _, leaf = path.rpartition(".")
    return parent, next((names for names in SHARED_INPUTS if leaf in names), (leaf,))


def parent_of(model: nn.Module, path: str) -> tuple[Any, str]:
    """The module (or list) that holds a path's last part, and that part."""
    *parts, leaf = path.split(".")
    node: Any = model
    for part in parts:
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node, leaf
