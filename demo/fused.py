"""Stored bases and adapters as plain MLX models, an adapter's factors added to the weights.

For measuring the files themselves, whatever their format, apart from the worker's engine.
MLX runs in float32 here: other types are slow on the Linux CPU backend.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.blas import prefer_openblas

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ailiance"
BLAS = prefer_openblas(CACHE)

import mlx.core as mx  # noqa: E402  (OpenBLAS must be loaded first)
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm import load  # noqa: E402


@dataclass(frozen=True)
class Factors:
    """One layer's update in MLX layout: A (in, rank), B (rank, out), and its scale."""

    a: mx.array
    b: mx.array
    scale: float


class FusedBase:
    """One stored base whose weights can carry one adapter at a time, or none."""

    def __init__(self, folder: Path) -> None:
        model, tokenizer = load(str(folder))[:2]
        model.set_dtype(mx.float32)
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self._bare: dict[str, mx.array] = dict(tree_flatten(model.parameters()))

    def apply(self, adapter: Path | None) -> None:
        """Make the weights those of the base with ``adapter``, or of the bare base."""
        weights = dict(self._bare)
        for layer, factors in (read_factors(adapter) if adapter else {}).items():
            name = f"{layer}.weight"
            weights[name] = weights[name] + factors.scale * (factors.a @ factors.b).T
        self.model.load_weights(list(weights.items()))
        mx.eval(self.model.parameters())


def read_factors(folder: Path) -> dict[str, Factors]:
    """Read an adapter in MLX or PEFT format: layer name to float32 factors."""
    config = json.loads((folder / "adapter_config.json").read_text())
    if (folder / "adapters.safetensors").exists():
        tensors = _float32(folder / "adapters.safetensors")
        scale = float(config["lora_parameters"]["scale"])
        layers = {name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")}
        return {
            name: Factors(tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"], scale)
            for name in layers
        }
    tensors = _float32(folder / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]
    head, tail = "base_model.model.", ".lora_A.weight"
    names = [name.removeprefix(head).removesuffix(tail) for name in tensors if tail in name]
    return {
        name: Factors(
            tensors[f"{head}{name}.lora_A.weight"].T,
            tensors[f"{head}{name}.lora_B.weight"].T,
            scale,
        )
        for name in names
    }


def _float32(path: Path) -> dict[str, mx.array]:
    loaded = mx.load(str(path))
    assert isinstance(loaded, dict)
    return {name: tensor.astype(mx.float32) for name, tensor in loaded.items()}
