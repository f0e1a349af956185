"""Which tensor is which factor of which module. Every tensor has a role or is named.

Only names and shapes are looked at, so an adapter is refused before its data are read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fleet.errors import SourceError
from worker.lora.formats.folder import Format
from worker.lora.formats.naming import shown, some
from worker.lora.formats.safetensors import FLOATING, Stored

Part = Literal["a", "b", "m"]

_MLX = re.compile(r"(?P<module>.+)\.(?P<part>lora_a|lora_b|m)")
_PEFT = re.compile(
    r"(?P<module>.+)\.(?:"
    r"lora_(?P<linear>[AB])(?:\.default)?\.weight"
    r"|lora_embedding_(?P<embedding>[AB])(?:\.default)?"
    r"|lora_(?P<magnitude>m)agnitude_vector(?:\.default)?(?:\.weight)?)"
)
# why a tensor has no role, by what its name holds; the first that fits
_WHY = (
    ("modules_to_save", "a module trained whole (modules_to_save)"),
    ("trainable_tokens", "trained tokens"),
    ("token_adapter", "trained tokens"),
    ("base_layer.", "a copy of the base's weights; save with save_embedding_layers=False"),
    (".bias", "a trained bias"),
    ("lora_magnitude_vector", "a DoRA magnitude of a convolution"),
    ("embed", "whole embeddings; save with save_embedding_layers=False"),
    ("lm_head.weight", "a whole lm_head; save with save_embedding_layers=False"),
)


@dataclass(frozen=True)
class Target:
    """The keys of one module's tensors."""

    a: str
    b: str
    m: str | None


def find_targets(
    name: str, tensors: Mapping[str, Stored], form: Format, dora: bool
) -> dict[str, Target]:
    """Module, as the training named it -> its tensors. Raises SourceError."""
    if not tensors:
        raise SourceError(name, "its weights file holds no tensor")
    _check_dtypes(name, tensors)
    found: dict[str, dict[Part, str]] = {}
    strangers: list[str] = []
    twice: list[str] = []
    for key, stored in tensors.items():
        role = _role(key, form)
        if role is None or len(stored.shape) != (1 if role[1] == "m" else 2):
            strangers.append(_stranger(key, stored, role is not None))
            continue
        module, part = role
        if part in found.setdefault(module, {}):
            twice.append(shown(key))
        found[module][part] = key
    if strangers:
        raise SourceError(name, f"tensors that are not LoRA A or B factors: {some(strangers)}")
    if twice:
        raise SourceError(name, f"factors that are stored twice: {some(twice)}")
    _check_parts(name, found, form, dora)
    return {
        module: Target(parts["a"], parts["b"], parts.get("m")) for module, parts in found.items()
    }


def _check_dtypes(name: str, tensors: Mapping[str, Stored]) -> None:
    """Integers would be factors quantised without their scales, or flags: not our numbers."""
    others = [f"{shown(k)} {t.dtype}" for k, t in tensors.items() if t.dtype not in FLOATING]
    if others:
        known = ", ".join(FLOATING)
        raise SourceError(name, f"tensors whose dtype is not one of {known}: {some(others)}")


def _role(key: str, form: Format) -> tuple[str, Part] | None:
    """(module, part)"""
    if form == "mlx":
        mlx = _MLX.fullmatch(key)
        return None if mlx is None else (mlx["module"], _part(mlx["part"][-1]))
    peft = _PEFT.fullmatch(key)
    if peft is None:
        return None
    letter = peft["linear"] or peft["embedding"] or peft["magnitude"]
    return peft["module"], _part(letter.lower())


def _part(letter: str) -> Part:
    return "a" if letter == "a" else "b" if letter == "b" else "m"


def _stranger(key: str, stored: Stored, has_role: bool) -> str:
    said = f"{shown(key)} {stored.shape}"
    if has_role and len(stored.shape) == 3:
        return f"{said}: factors of MoE experts"
    why = next((why for part, why in _WHY if part in key), None)
    return said if why is None else f"{said}: {why}"


def _check_parts(
    name: str, found: Mapping[str, Mapping[Part, str]], form: Format, dora: bool
) -> None:
    lonely = [shown(module) for module, parts in found.items() if not {"a", "b"} <= set(parts)]
    if lonely:
        raise SourceError(name, f"layers with only one of A and B: {some(lonely)}")
    with_m = [shown(parts["m"]) for parts in found.values() if "m" in parts]
    option = "fine_tune_type 'dora'" if form == "mlx" else "use_dora"
    if with_m and not dora:
        raise SourceError(
            name,
            f"DoRA magnitudes, though adapter_config.json does not state {option}: {some(with_m)}",
        )
    if dora and len(with_m) < len(found):
        without = [shown(module) for module, parts in found.items() if "m" not in parts]
        raise SourceError(name, f"{option}, but no magnitude for: {some(without)}")
