"""What the files of an adapter say of it: names and shapes from the safetensors header, and the
config. No weights are read, and nothing but the standard library opens them.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fleet.cards.errors import CardError

WEIGHTS = ("adapters.safetensors", "adapter_model.safetensors")
CONFIG = "adapter_config.json"
MOST_HEADER_BYTES = 16 << 20
MOST_CONFIG_BYTES = 1 << 20

_MLX = re.compile(r"(.+)\.lora_([ab])")
_PEFT = re.compile(
    r"(.+)\.lora_(?:embedding_([AB])(?:\.[\w-]{1,60})?|([AB])(?:\.[\w-]{1,60})?\.weight)"
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,6})\.")


@dataclass(frozen=True)
class Facts:
    """``layers``: how many blocks hold factors; ``base``: as the config names it."""

    format: str
    ranks: tuple[int, ...]
    targets: tuple[str, ...]
    layers: int
    scale: float | None
    alpha: float | None
    dropout: float | None
    base: str | None


def read_facts(folder: Path) -> Facts | None:
    """None where the folder holds no adapter's weights. Raises CardError for broken files."""
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        return None
    shapes = header_of(file)
    config = _config(folder / CONFIG)
    ranks: set[int] = set()
    targets: set[str] = set()
    layers: set[str] = set()
    for name, shape in shapes.items():
        match = _MLX.fullmatch(name) or _PEFT.fullmatch(name)
        if match is None or len(shape) != 2:
            continue
        module, letter = filter(None, match.groups())
        # MLX: A (in, rank), B (rank, out); PEFT: A (rank, in), B (out, rank)
        ranks.add(shape[1] if letter in "aB" else shape[0])
        targets.add(module.rpartition(".")[2])
        layers |= {found.group(1) for found in [_LAYER.search(module + ".")] if found}
    form = "mlx" if file.name == WEIGHTS[0] else "peft"
    scale, alpha, dropout = _strength(config, form)
    return Facts(
        form,
        tuple(sorted(ranks)),
        tuple(sorted(targets)),
        len(layers),
        scale,
        alpha,
        dropout,
        _text(config.get("base_model_name_or_path") or config.get("model")),
    )


def header_of(file: Path) -> dict[str, tuple[int, ...]]:
    """Shape by tensor name. Raises CardError for what is no safetensors file."""
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 2 <= size <= MOST_HEADER_BYTES:
                raise CardError(f"'{file}' is no safetensors file: a header of {size} bytes")
            raw = stream.read(size)
        header: Any = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise CardError(f"'{file}' can't be read: {type(error).__name__}") from None
    if not isinstance(header, dict):
        raise CardError(f"'{file}' is no safetensors file: its header is no object")
    tensors = cast(dict[str, Any], header)
    return {n: _shape(file, n, entry) for n, entry in tensors.items() if n != "__metadata__"}


def _shape(file: Path, name: str, entry: Any) -> tuple[int, ...]:
    shape = cast(dict[str, Any], entry).get("shape") if isinstance(entry, dict) else None
    sizes = cast(list[Any], shape) if isinstance(shape, list) else []
    whole = [size for size in sizes if isinstance(size, int) and size >= 0]
    if not isinstance(shape, list) or len(whole) != len(sizes):
        raise CardError(f"'{file}' is no safetensors file: tensor '{name[:80]}' has no shape")
    return tuple(whole)


def _config(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MOST_CONFIG_BYTES:
            raise CardError(f"'{file}' is larger than {MOST_CONFIG_BYTES} bytes")
        config: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CardError(f"'{file}' can't be read: {type(error).__name__}") from None
    return cast(dict[str, Any], config) if isinstance(config, dict) else {}


def _strength(config: dict[str, Any], form: str) -> tuple[float | None, float | None, float | None]:
    """Scale, alpha and dropout, as far as the config states them."""
    if form == "mlx":
        raw = config.get("lora_parameters")
        stated = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
        alpha, rank, scale = (_number(stated.get(key)) for key in ("alpha", "rank", "scale"))
        dropout = _number(stated.get("dropout"))
    else:
        alpha, rank, scale = _number(config.get("lora_alpha")), _number(config.get("r")), None
        rank = math.sqrt(rank) if rank and config.get("use_rslora") else rank
        dropout = _number(config.get("lora_dropout"))
    if scale is None and alpha is not None and rank:
        scale = alpha / rank
    return scale, alpha, dropout


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good and 0 <= value < 1e12 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
