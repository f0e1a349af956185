"""What of a base an adapter may target, and which of it shares an input. No arrays."""

from typing import Any

from mlx import nn

from worker.lora.formats.paths import is_embedding

Shape = tuple[int, int]
InputKey = tuple[str, tuple[str, ...]]
"""Of layers that read the same input: their parent, and the names that may be among them."""

# where the base's own layer is inside a wrapped one, linear or embedding
WRAPPED = (".linear", ".table")
_EMBEDDINGS = (nn.Embedding, nn.QuantizedEmbedding)
# layers of one block that read the same input, by the names all mlx-lm models use
SHARED_INPUTS: tuple[tuple[str, ...], ...] = (
    ("q_proj", "k_proj", "v_proj"),
    ("gate_proj", "up_proj"),
)


def linear_layers(model: nn.Module) -> dict[str, Shape]:
    """Module path -> (in, out) of every layer that adapters may target, also quantised: the
    linear ones inside the blocks, ``lm_head`` where the base has one, and the embeddings."""
    found: dict[str, Shape] = {}
    for wrapped, module in model.named_modules():
        path = wrapped
        for inner in WRAPPED:
            path = path.removesuffix(inner)
        if _may_be_targeted(path, module):
            found[path] = layer_shape(module)
    return found


def is_table(layer: object) -> bool:
    """True for the base's own embeddings, also quantised."""
    return isinstance(layer, _EMBEDDINGS)


def _may_be_targeted(path: str, module: nn.Module) -> bool:
    if is_table(module):
        # tables of positions or of each layer have other names
        return "layers." not in path and is_embedding(path)
    linear = isinstance(module, nn.Linear | nn.QuantizedLinear)
    return linear and ("layers." in path or path.endswith("lm_head"))


def layer_shape(layer: Any) -> Shape:
    """(in, out) of a linear layer, (vocabulary, width) of embeddings; quantised ones pack
    32 / bits numbers of a row in a word."""
    rows, wide = layer.weight.shape
    if isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding):
        wide = wide * 32 // layer.bits
    return (rows, wide) if is_table(layer) else (wide, rows)


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
