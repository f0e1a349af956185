"""The scale that an adapter's config states, and the options that refuse it. No tensors.

A scale is never guessed: a guessed one was 8 times too strong in production elsewhere.
"""

import math
from typing import Any, cast

from fleet.errors import SourceError

# PEFT options that change the mathematics and are not applied here, with their off values
_PEFT_REFUSED: dict[str, tuple[Any, ...]] = {
    "use_dora": (False,),
    "rank_pattern": ({},),
    "alpha_pattern": ({},),
    "modules_to_save": ([],),
    "bias": ("none",),
    "lora_bias": (False,),
    "fan_in_fan_out": (False,),
    "layer_replication": ([],),
    "trainable_token_indices": ([], {}),
    "alora_invocation_tokens": ([],),
    "use_qalora": (False,),
    "use_bdlora": (False,),
    "arrow_config": (),
    "kasa_config": (),
}
# ways to start a PEFT training that move part of the base's weights into the adapter
_REBASING = ("pissa", "olora", "corda", "lora_ga", "loftq")


def mlx_scale(name: str, config: dict[str, Any]) -> tuple[float, float | None]:
    """The scale of an MLX adapter, and the rank it was computed with where it had to be.

    Raises SourceError for another kind of training, or when the scale is not stated.
    """
    kind = config.get("fine_tune_type", "lora")
    if kind != "lora":
        raise SourceError(name, f"fine_tune_type '{kind}' is not supported; only 'lora' is")
    raw = config.get("lora_parameters")
    parameters = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    if "scale" in parameters:
        return _positive(name, "lora_parameters.scale", parameters["scale"]), None
    if "alpha" in parameters and "rank" in parameters:
        alpha = _positive(name, "lora_parameters.alpha", parameters["alpha"])
        rank = _positive(name, "lora_parameters.rank", parameters["rank"])
        return alpha / rank, rank
    raise SourceError(
        name,
        "adapter_config.json states neither lora_parameters.scale nor alpha and rank; "
        "add the scale it was trained with (a guessed one would be silently wrong)",
    )


def peft_scale(name: str, config: dict[str, Any]) -> tuple[float, float]:
    """alpha / rank of a PEFT adapter, or alpha / sqrt(rank) with rsLoRA, and that rank.

    Raises SourceError for options that change the mathematics and are not applied here.
    """
    for key, off in _PEFT_REFUSED.items():
        value = config.get(key)
        if value is not None and value not in off:
            raise SourceError(name, f"PEFT option {key}={value!r} is not supported")
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(_REBASING):
        raise SourceError(
            name,
            f"PEFT option init_lora_weights={start!r} trains against changed base weights; "
            "convert the adapter to plain LoRA with PEFT first",
        )
    if str(config.get("peft_type", "LORA")).upper() != "LORA":
        raise SourceError(name, f"peft_type {config['peft_type']!r} is not supported; only LORA")
    if "lora_alpha" not in config or "r" not in config:
        raise SourceError(
            name,
            "adapter_config.json lacks lora_alpha or r, so the scale is unknown; "
            "add the values it was trained with",
        )
    alpha = _positive(name, "lora_alpha", config["lora_alpha"])
    rank = _positive(name, "r", config["r"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), rank


def _positive(name: str, key: str, value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value <= 0:
        raise SourceError(name, f"adapter_config.json: {key} must be above 0, not {value!r}")
    return float(value)
