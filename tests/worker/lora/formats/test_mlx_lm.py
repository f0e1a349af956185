"""Adapters that mlx-lm makes and saves, on the embedded base, against mlx-lm's own layers."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import load_model, save_config

from fleet.errors import SourceError
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import AdapterModel
from worker.lora.targets import linear_layers

BASE = Path(__file__).resolve().parents[4] / "demo" / "models" / "apertus"
TOKENS = mx.array([[1, 200, 31, 470, 5, 1999, 64, 8, 900, 12, 77, 1024]])
ATTENTION = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
EMBEDDINGS = "model.embed_tokens"
PARAMETERS: dict[str, Any] = {"rank": 8, "scale": 2.0, "dropout": 0.0}


def base(bits: int | None = None) -> nn.Module:
    model, _ = load_model(BASE)
    model.set_dtype(mx.float32)
    if bits is not None:
        nn.quantize(model, group_size=64, bits=bits)
    mx.eval(model.parameters())
    return model


def saved(folder: Path, *, kind: str = "lora", layers: int = -1, **parameters: Any) -> Path:
    """As ``mlx_lm.lora`` trains and saves (mlx-lm 0.32: lora.py, tuner/trainer.py)."""
    folder.mkdir(parents=True)
    model = base()
    model.freeze()
    given = PARAMETERS | parameters
    count = len(model.layers) if layers < 0 else layers
    linear_to_lora_layers(model, count, given, use_dora=kind == "dora")
    mx.random.seed(3)
    for _, module in model.named_modules():
        for leaf in ("lora_a", "lora_b", "m"):
            if leaf in module:
                noise = mx.random.normal(module[leaf].shape) * 0.1
                module[leaf] = module[leaf] * (1 + noise) if leaf == "m" else noise
    weights = dict(tree_flatten(model.trainable_parameters()))
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": kind, "num_layers": count, "lora_parameters": given}
    save_config(config, folder / "adapter_config.json")
    return folder


@cache
def layers_of_base() -> dict[str, tuple[int, int]]:
    return linear_layers(base())


def read(folder: Path) -> AdapterFiles:
    return read_adapter("mine", folder, layers_of_base())


def check_same(folder: Path, files: AdapterFiles, bits: int | None = None) -> None:
    """Ours against mlx-lm's own loading of the same files."""
    yardstick = base(bits)
    load_adapters(yardstick, str(folder))
    yardstick.eval()
    ours = AdapterModel(base(bits), 2, mx.float32)
    bare = ours.logits(TOKENS, 0)
    ours.put(1, files)
    found, expected = ours.logits(TOKENS, 1), yardstick(TOKENS)
    assert mx.abs(found - expected).max().item() < 2e-3
    assert mx.abs(found - bare).max().item() > 0.5
    assert mx.array_equal(ours.logits(TOKENS, 0), bare)


CASES: dict[str, Callable[[Path], Path]] = {
    "all linear": saved,
    "attention only": lambda folder: saved(folder, keys=ATTENTION),
    "last two layers": lambda folder: saved(folder, layers=2),
    "rank 3": lambda folder: saved(folder, rank=3, scale=10.0),
    "embeddings, that are the output layer": lambda folder: saved(folder, keys=[EMBEDDINGS]),
    "embeddings and attention": lambda folder: saved(folder, keys=[EMBEDDINGS, *ATTENTION]),
    "dora": lambda folder: saved(folder, kind="dora", keys=ATTENTION),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_as_mlx_lm_itself_applies_it(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    folder = make(tmp_path / "adapter")
    check_same(folder, read(folder))


@pytest.mark.parametrize("bits", [4, 8])
def test_embeddings_on_a_quantised_base(tmp_path: Path, bits: int) -> None:
    folder = saved(tmp_path / "adapter", keys=[EMBEDDINGS, *ATTENTION])
    check_same(folder, read(folder), bits)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_on_a_quantised_base(tmp_path: Path, bits: int, kind: str) -> None:
    folder = saved(tmp_path / "adapter", kind=kind, keys=ATTENTION)
    check_same(folder, read(folder), bits)


def test_layers_and_targets_are_counted(tmp_path: Path) -> None:
    files = read(saved(tmp_path / "adapter", keys=ATTENTION, layers=2))
    assert files.targets == ("k_proj", "o_proj", "q_proj", "v_proj")
    # mlx-lm counts layers from the end
    assert {path.split(".")[2] for path in files.factors} == {"4", "5"}


def test_alpha_and_rank_without_scale(tmp_path: Path) -> None:
    """KeyError in mlx-lm 0.32; alpha / rank here."""
    folder = saved(tmp_path / "adapter", keys=ATTENTION)
    scaled = read(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["lora_parameters"] = {"rank": 8, "alpha": 16, "dropout": 0.0}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(KeyError):
        load_adapters(base(), str(folder))
    found = read(folder)
    assert {f.scale for f in found.factors.values()} == {f.scale for f in scaled.factors.values()}


def test_dora_on_embeddings_is_refused_by_name(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter", kind="dora", keys=[EMBEDDINGS, *ATTENTION])
    with pytest.raises(SourceError, match=r"model\.embed_tokens\.m: DoRA on embeddings is not"):
        read(folder)


def test_full_fine_tuning_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter", keys=ATTENTION)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"fine_tune_type": "full"}))
    with pytest.raises(SourceError, match="fine_tune_type 'full' is not supported"):
        read(folder)
