"""Load one base model through mlx-lm, with the gaps of its config filled or named."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx import nn
from mlx_lm.utils import load_model, load_tokenizer

from fleet.digest import digest_files
from fleet.errors import SourceError
from worker.prompt.template import check_template

_DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16, "float16": mx.float16}
# What transformers' Apertus implies and mlx-lm's ModelArgs requires by name.
_APERTUS_IMPLIED = {"mlp_bias": False, "attention_bias": False, "post_norm": False, "qk_norm": True}


@dataclass(frozen=True)
class LoadedBase:
    """A base in memory. ``tokenizer`` is mlx-lm's TokenizerWrapper."""

    name: str
    path: Path
    model: nn.Module
    tokenizer: Any
    config: dict[str, Any]
    dtype: mx.Dtype
    digest: str
    max_model_len: int
    vocabulary: int


def load_base(name: str, path: Path, dtype: str, max_model_len: int | None) -> LoadedBase:
    """The base in folder ``path``. Raises SourceError with what is missing."""
    config = _read_config(name, path)
    implied = _implied(name, config)
    try:
        model, config = load_model(path, lazy=True, model_config=implied)
        tokenizer = load_tokenizer(path, eos_token_ids=_eos(config, path))
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        raise SourceError(name, f"mlx-lm can't load '{path}': {error}") from error
    if not tokenizer.has_chat_template:
        raise SourceError(name, f"'{path}' has no chat template; add chat_template.jinja")
    try:
        check_template(tokenizer)
    except ValueError as error:
        raise SourceError(name, f"'{path}': {error}") from None
    activation = _cast(model, dtype)
    mx.eval(model.parameters())
    text = cast(dict[str, Any], config.get("text_config", config))
    limit = _limit(name, text, max_model_len)
    digest = digest_files(_weight_files(path))
    return LoadedBase(
        name, path, model, tokenizer, config, activation, digest, limit, int(text["vocab_size"])
    )


def textless_ids(tokenizer: Any) -> frozenset[int]:
    """Special tokens, and end tokens even if not listed as such: ``ignore_eos`` goes past them.

    ``all_special_ids`` has those with a role only, not the marks around turns.
    """
    added: dict[int, Any] = tokenizer.added_tokens_decoder
    special = [token for token, entry in added.items() if entry.special]
    return frozenset((*special, *tokenizer.all_special_ids, *tokenizer.eos_token_ids))


def _read_config(name: str, path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise SourceError(name, f"model folder '{path}' does not exist; correct 'model'")
    try:
        return cast(dict[str, Any], json.loads((path / "config.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise SourceError(name, f"'{path / 'config.json'}' can't be read: {error}") from None


def _implied(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Config entries that transformers leaves out because its code implies them."""
    if config.get("model_type") != "apertus":
        return {}
    added: dict[str, Any] = {
        key: value for key, value in _APERTUS_IMPLIED.items() if key not in config
    }
    if "rope_theta" not in config:
        rope = cast(dict[str, Any], config.get("rope_parameters") or {})
        if "rope_theta" not in rope:
            raise SourceError(name, "config.json lacks rope_theta; add the base's value")
        added["rope_theta"] = rope["rope_theta"]
        if "rope_scaling" not in config and rope.get("rope_type", "default") != "default":
            added["rope_scaling"] = rope
    return added


def _eos(config: dict[str, Any], path: Path) -> list[int] | None:
    """End tokens of generation_config.json where there is one, else of the config."""
    file = path / "generation_config.json"
    source: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    eos: Any = source.get("eos_token_id", config.get("eos_token_id"))
    if eos is None:
        return None
    return [int(eos)] if isinstance(eos, int) else [int(token) for token in eos]


def _cast(model: nn.Module, dtype: str) -> mx.Dtype:
    """Cast floating weights as asked; ``auto`` is float32 on the CPU backend, where other
    dtypes run at 3-8 GFLOP/s, and what the file holds elsewhere."""
    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    wanted = "float32" if dtype == "auto" and on_cpu else dtype
    if wanted != "auto":
        model.set_dtype(_DTYPES[wanted])
        return _DTYPES[wanted]
    return _first_dtype(model)


def _first_dtype(model: nn.Module) -> mx.Dtype:
    """The activation dtype: that of the first norm, since quantised layers store integers."""
    for _, module in model.named_modules():
        if isinstance(module, nn.RMSNorm | nn.LayerNorm):
            return module.weight.dtype
    return mx.bfloat16


def _limit(name: str, config: dict[str, Any], asked: int | None) -> int:
    declared = config.get("max_position_embeddings")
    if declared is None and asked is None:
        raise SourceError(name, "config.json states no context length; set 'max_model_len'")
    if declared is not None and asked is not None and asked > declared:
        raise SourceError(name, f"max_model_len {asked} is above the model's {declared}")
    return int(asked or cast(int, declared))


def _weight_files(path: Path) -> Sequence[Path]:
    return [path / "config.json", *path.glob("model*.safetensors"), *path.glob("tokenizer.json")]
