"""Adapters of random factors for the embedded apertus base, as files."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fleet.load import load_fleet
from fleet.schema import Adapter, Fleet
from tests.worker.conftest import ROOT


def base_config() -> dict[str, int]:
    fleet = load_fleet(ROOT / "adapters.yaml")
    folder = fleet.resolve(fleet.bases["apertus"].model)
    return json.loads((folder / "config.json").read_text("utf-8"))


def write_adapter(
    folder: Path, seed: int, rank: int = 8, *, scale: float = 2.0, spread: float = 0.3
) -> Path:
    """Random q and o projections of every block; ``spread`` 0 has no effect."""
    config = base_config()
    width, blocks = config["hidden_size"], config["num_hidden_layers"]
    random = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for block in range(blocks):
        for leaf in ("q_proj", "o_proj"):
            path = f"model.layers.{block}.self_attn.{leaf}"
            a = random.normal(0, 1 / width**0.5, (width, rank))
            b = random.normal(0, 1, (rank, width)) * spread
            tensors[f"{path}.lora_a"] = a.astype(np.float32)
            tensors[f"{path}.lora_b"] = b.astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapters.safetensors")
    stated = {"fine_tune_type": "lora", "lora_parameters": {"rank": rank, "scale": scale}}
    (folder / "adapter_config.json").write_text(json.dumps(stated), "utf-8")
    return folder


def write_adapters(folder: Path, count: int) -> dict[str, Path]:
    """Of ranks 4, 8 and 16 in turn."""
    return {
        f"r{n:03d}": write_adapter(folder / f"r{n:03d}", n, (4, 8, 16)[n % 3]) for n in range(count)
    }


def random_fleet(sources: dict[str, Path], slots: int, **base: object) -> Fleet:
    """The embedded base with these adapters and so many slots."""
    fleet = load_fleet(ROOT / "adapters.yaml")
    changed = fleet.bases["apertus"].model_copy(update={"slots": slots, **base})
    adapters = {name: Adapter(base="apertus", source=str(at)) for name, at in sources.items()}
    return fleet.model_copy(update={"bases": {"apertus": changed}, "adapters": adapters})
