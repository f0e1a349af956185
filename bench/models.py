"""Models to measure with: a random 24 M parameter base with ten adapters, and the embedded one.

Each comes as a folder in the cache with two fleet files, with and without its adapters, so
that the same files serve the in-process runs, the workers, the gateway and the peers. The
random weights are deterministic. Nothing here measures, and nothing here imports MLX.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

from fleet.load import load_fleet

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO_MODEL = REPOSITORY / "demo" / "models" / "apertus"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
ADAPTERS, RANK, SCALE = 10, 16, 2.0
HIDDEN, LAYERS, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM = 512, 8, 2048, 8, 4, 64
VERSION = 1  # part of the folder's name: raise it when what is written changes

Tensors = dict[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True)
class BenchModel:
    """One base to measure: its fleet files, and its name and adapters in them."""

    name: str
    base: str
    bare: Path
    full: Path
    adapters: tuple[str, ...]
    model: Path

    def adapter_path(self, adapter: str) -> Path:
        """The folder of an adapter, for peers that take paths."""
        return self.model.parent / "adapters" / adapter


def cache_dir() -> Path:
    """Where worker and bench keep what can be made again."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "ailiance"


def build_model(name: str, cache: Path) -> BenchModel:
    """``m24`` or ``embedded``, built in folder ``cache`` unless it is there."""
    return _random(cache) if name == "m24" else _embedded(cache)


def _random(cache: Path) -> BenchModel:
    digest = hashlib.sha256((DEMO_MODEL / "tokenizer.json").read_bytes()).hexdigest()[:12]
    folder = cache / f"m24-v{VERSION}-{digest}"
    names = tuple(f"random{i}" for i in range(ADAPTERS))
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            fresh = Path(scratch) / "fresh"
            _write_base(fresh / "model")
            for seed, name in enumerate(names, start=1):
                write_adapter(fresh / "adapters" / name, seed)
            _write_fleets(fresh, "m24", "model", {name: f"adapters/{name}" for name in names})
            fresh.rename(folder)
    return BenchModel(
        "m24", "m24", folder / "bare.yaml", folder / "full.yaml", names, folder / "model"
    )


def _embedded(cache: Path) -> BenchModel:
    """The embedded apertus, with an end token that it never draws: answers of equal length."""
    fleet = load_fleet(REPOSITORY / "adapters.yaml")
    folder = cache / "embedded"
    model = folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DEMO_MODEL, model)
    _edit(model / "generation_config.json", eos_token_id=3)
    _edit(model / "config.json", eos_token_id=3)
    _edit(model / "tokenizer_config.json", eos_token="<pad>")
    sources = {n: str(fleet.resolve(a.source)) for n, a in fleet.adapters_of("apertus").items()}
    _write_fleets(folder, "apertus", "model", sources)
    return BenchModel(
        "embedded", "apertus", folder / "bare.yaml", folder / "full.yaml", tuple(sources), model
    )


def _edit(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**content, **values}, indent=2), "utf-8")


def _write_fleets(folder: Path, base: str, model: str, sources: dict[str, str]) -> None:
    bare = {"version": 1, "prefix": "bench", "bases": {base: {"model": model}}}
    adapters = {name: {"base": base, "source": source} for name, source in sources.items()}
    for file, content in (("bare.yaml", bare), ("full.yaml", {**bare, "adapters": adapters})):
        (folder / file).write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def _write_base(folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in TOKENIZER_FILES:
        shutil.copyfile(DEMO_MODEL / file, folder / file)
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    demo = json.loads((DEMO_MODEL / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(_config(demo), indent=2), "utf-8")
    ending = {"do_sample": False, "eos_token_id": demo["eos_token_id"]}
    (folder / "generation_config.json").write_text(json.dumps(ending), "utf-8")
    special = [token["id"] for token in tokenizer["added_tokens"] if token["special"]]
    save_file(_base_weights(demo["vocab_size"], special), folder / "model.safetensors")


def _config(demo: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "apertus",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INTERMEDIATE,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": demo["vocab_size"],
        "eos_token_id": demo["eos_token_id"],
        "bos_token_id": demo["bos_token_id"],
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": True,
        "mlp_bias": False,
        "attention_bias": False,
        "post_norm": False,
        "qk_norm": True,
        "hidden_act": "xielu",
    }


def _shapes() -> dict[str, tuple[int, int]]:
    """(out, in) of the four attention projections, which the adapters target."""
    return {
        "q_proj": (HEADS * HEAD_DIM, HIDDEN),
        "k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "o_proj": (HIDDEN, HEADS * HEAD_DIM),
    }


def _base_weights(vocabulary: int, special: list[int]) -> Tensors:
    random = np.random.default_rng(0)
    weights: Tensors = {"model.norm.weight": np.ones(HIDDEN, np.float32)}
    embedding = _normal(random, (vocabulary, HIDDEN), 1.0)
    # tied embeddings: a zero row has logit 0, so greedy decoding never ends a row early
    embedding[special] = 0
    weights["model.embed_tokens.weight"] = embedding
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        for name, shape in _shapes().items():
            weights[f"{at}.self_attn.{name}.weight"] = _normal(random, shape, shape[1] ** -0.5)
        for name, shape in (
            ("up_proj", (INTERMEDIATE, HIDDEN)),
            ("down_proj", (HIDDEN, INTERMEDIATE)),
        ):
            weights[f"{at}.mlp.{name}.weight"] = _normal(random, shape, shape[1] ** -0.5)
        for name in ("q_norm", "k_norm"):
            weights[f"{at}.self_attn.{name}.weight"] = np.ones(HEAD_DIM, np.float32)
        for name in ("attention_layernorm", "feedforward_layernorm"):
            weights[f"{at}.{name}.weight"] = np.ones(HIDDEN, np.float32)
        for name, value in (("alpha_p", 0.2), ("alpha_n", -1.0), ("beta", 0.5), ("eps", -1e-6)):
            weights[f"{at}.mlp.act_fn.{name}"] = np.array(value, np.float32)
    return weights


def write_adapter(folder: Path, seed: int, rank: int = RANK) -> None:
    """One of m24. MLX format: A (in, rank), B (rank, out)."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    weights: Tensors = {}
    for layer in range(LAYERS):
        for name, (wide_out, wide_in) in _shapes().items():
            at = f"model.layers.{layer}.self_attn.{name}"
            weights[f"{at}.lora_a"] = _normal(random, (wide_in, rank), wide_in**-0.5)
            weights[f"{at}.lora_b"] = _normal(random, (rank, wide_out), 0.1)
    save_file(weights, folder / "adapters.safetensors")
    keys = [f"self_attn.{name}" for name in _shapes()]
    parameters = {"rank": rank, "scale": SCALE, "dropout": 0.0, "keys": keys}
    config = {"fine_tune_type": "lora", "num_layers": LAYERS, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2), "utf-8")


def _normal(
    random: np.random.Generator, shape: tuple[int, int], deviation: float
) -> "np.ndarray[Any, Any]":
    return (random.standard_normal(shape, dtype=np.float32) * deviation).astype(np.float32)
