"""Write trained weights: bases in the HF layout, adapters in MLX and PEFT format.

Everything is stored as float16, and appears at its final path whole or not at all.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from demo.chat import ChatFormat
from demo.fleet_plan import ALPHA, RANK, AdapterPlan
from demo.lora import LoraLinear
from demo.shapes import LAYERS, write_config
from demo.tokenizer import write_tokenizer

DROPOUT = 0.0  # none is trained with, see demo.lora


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of ``target`` if no error occurs."""
    scratch = target.with_name(f".{target.name}.new")
    retired = target.with_name(f".{target.name}.old")
    for folder in (scratch, retired):
        shutil.rmtree(folder, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    for path in scratch.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner may read
    if target.exists():
        target.rename(retired)
    scratch.rename(target)
    shutil.rmtree(retired, ignore_errors=True)


def write_base(model: Any, tokenizer: Tokenizer, chat: ChatFormat, target: Path) -> None:
    """Write a base with its tokenizer to ``target``; tied weights are stored once."""
    tensors = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    with fresh_folder(target) as folder:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        write_config(model, folder)
        write_tokenizer(tokenizer, chat, folder)


def write_adapter(layers: dict[str, LoraLinear], plan: AdapterPlan, target: Path) -> None:
    """Write an adapter to ``target`` in the format that its plan names."""
    with fresh_folder(target) as folder:
        if plan.format == "mlx":
            _write_mlx(layers, folder)
        else:
            _write_peft(layers, plan, folder)


def _write_mlx(layers: dict[str, LoraLinear], folder: Path) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in layers.items():
        tensors[f"{name}.lora_a"] = _half(layer.lora_a.T)
        tensors[f"{name}.lora_b"] = _half(layer.lora_b.T)
    save_file(tensors, folder / "adapters.safetensors", metadata={"format": "mlx"})
    keys = sorted({name.split(".", 3)[3] for name in layers})
    _write_json(
        folder / "adapter_config.json",
        {
            "fine_tune_type": "lora",
            "num_layers": LAYERS,
            "lora_parameters": {
                "rank": RANK,
                "scale": ALPHA / RANK,
                "dropout": DROPOUT,
                "keys": keys,
            },
        },
    )


def _write_peft(layers: dict[str, LoraLinear], plan: AdapterPlan, folder: Path) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in layers.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = _half(layer.lora_a)
        tensors[f"base_model.model.{name}.lora_B.weight"] = _half(layer.lora_b)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    _write_json(
        folder / "adapter_config.json",
        {
            "base_model_name_or_path": f"demo/models/{plan.base}",
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "init_lora_weights": True,
            "lora_alpha": ALPHA,
            "lora_dropout": DROPOUT,
            "modules_to_save": None,
            "peft_type": "LORA",
            "r": RANK,
            "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
            "task_type": "CAUSAL_LM",
        },
    )


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to(torch.float16).contiguous()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
