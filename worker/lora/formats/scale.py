"""What an adapter's config says of each layer: the scale, the rank, DoRA. No tensors.

A scale is never guessed: a guessed one was 8 times too strong in production elsewhere.
Options that change the mathematics and are not applied here are refused by name, and so
are options that nobody here has heard of, when they are switched on.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fleet.errors import SourceError
from worker.lora.formats.naming import shown
from worker.lora.formats.patterns import Patterns

# PEFT's options (0.21) that are read here, or that change nothing at inference
_PEFT_KNOWN = frozenset(
    (
        *("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern"),
        *("init_lora_weights", "peft_type", "target_modules", "exclude_modules"),
        *("layers_to_transform", "layers_pattern", "lora_dropout", "base_model_name_or_path"),
        *("revision", "task_type", "inference_mode", "auto_mapping", "peft_version"),
        *("megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config"),
        *("lora_ga_config", "velora_config", "qalora_group_size", "runtime_config"),
        *("lora_dtype", "lorap_lr_ratio"),  # ms-swift's
    )
)
# ways to start a PEFT training that move part of the base's weights into the adapter
_REBASING = ("pissa", "olora", "corda", "lora_ga", "loftq")
_OFF: tuple[Any, ...] = (None, False, "", "none", [], {}, 0)


@dataclass(frozen=True)
class Stated:
    """What the config states for one layer: the ranks that it may have (empty: any), and the
    scale of a layer of a rank."""

    ranks: tuple[float, ...]
    scale_at: Callable[[int], float]


@dataclass(frozen=True)
class Scales:
    """``of`` takes a module as the training named it; ``dora``: layers have a magnitude."""

    of: Callable[[str], Stated]
    dora: bool


def mlx_scales(name: str, config: Mapping[str, Any]) -> Scales:
    """Of an MLX adapter. Raises SourceError for another training, or without a scale."""
    kind = config.get("fine_tune_type", "lora")
    if kind not in ("lora", "dora"):
        raise SourceError(
            name, f"fine_tune_type {kind!r} is not supported; only 'lora' and 'dora' are"
        )
    stated = _mlx_stated(name, config)
    return Scales(lambda _: stated, kind == "dora")


def _mlx_stated(name: str, config: Mapping[str, Any]) -> Stated:
    raw = config.get("lora_parameters")
    parameters = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    if "scale" in parameters:
        scale = _positive(name, "lora_parameters.scale", parameters["scale"])
        return Stated((), lambda _: scale)
    if "alpha" in parameters and "rank" in parameters:
        alpha = _positive(name, "lora_parameters.alpha", parameters["alpha"])
        rank = _positive(name, "lora_parameters.rank", parameters["rank"])
        return Stated((rank,), lambda r: alpha / r)
    raise SourceError(
        name,
        "adapter_config.json states neither lora_parameters.scale nor alpha and rank; "
        "add the scale it was trained with (a guessed one would be silently wrong)",
    )


def peft_scales(name: str, config: Mapping[str, Any]) -> Scales:
    """Of a PEFT adapter: alpha / rank, with rsLoRA alpha / sqrt(rank), layer by layer.

    Raises SourceError for options that are not applied here.
    """
    _check_options(name, config)
    for key in ("lora_alpha", "r"):
        if key not in config:
            raise SourceError(
                name,
                "adapter_config.json lacks lora_alpha or r, so the scale is unknown; "
                "add the values it was trained with",
            )
    alpha = _positive(name, "lora_alpha", config["lora_alpha"])
    rank = _positive(name, "r", config["r"])
    alphas = _patterns(name, "alpha_pattern", config)
    ranks = _patterns(name, "rank_pattern", config)
    rooted = _flag(name, "use_rslora", config)

    def stated(module: str) -> Stated:
        first, *others = alphas.find(module, alpha)
        if others:
            values = " and ".join(f"{value:g}" for value in (first, *others))
            raise SourceError(
                name,
                f"adapter_config.json: alpha_pattern gives {shown(module)} both {values}; PEFT "
                "sorts patterns when it saves, so nobody knows which was trained: leave one",
            )
        return Stated(ranks.find(module, rank), lambda r: first / (math.sqrt(r) if rooted else r))

    return Scales(stated, _flag(name, "use_dora", config))


def _check_options(name: str, config: Mapping[str, Any]) -> None:
    for key, value in config.items():
        if key not in _PEFT_KNOWN and value not in _OFF:
            said = f"{shown(key)}={shown(repr(value))}"
            raise SourceError(name, f"PEFT option {said} is not supported")
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(_REBASING):
        raise SourceError(
            name,
            f"PEFT option init_lora_weights={start!r} trains against changed base weights; "
            "convert the adapter to plain LoRA with PEFT first",
        )
    kind = config.get("peft_type", "LORA")
    if str(kind).upper() != "LORA":
        raise SourceError(name, f"peft_type {kind!r} is not supported; only LORA")


def _patterns(name: str, key: str, config: Mapping[str, Any]) -> Patterns:
    given = config.get(key) or {}
    if not isinstance(given, dict):
        raise SourceError(name, f"adapter_config.json: {key} is not a mapping")
    values = {
        pattern: _positive(name, f"{key}[{shown(pattern)}]", value)
        for pattern, value in cast(dict[str, Any], given).items()
    }
    try:
        return Patterns(values)
    except ValueError as error:
        raise SourceError(name, f"adapter_config.json: {key}: {error}") from None


def _flag(name: str, key: str, config: Mapping[str, Any]) -> bool:
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise SourceError(name, f"adapter_config.json: {key} must be true or false")
    return bool(value)


def _positive(name: str, key: str, value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        good = good and math.isfinite(value) and value > 0
    except OverflowError:  # an integer with hundreds of digits
        good = False
    if not good:
        raise SourceError(
            name, f"adapter_config.json: {key} must be above 0, not {shown(repr(value))}"
        )
    return float(value)
