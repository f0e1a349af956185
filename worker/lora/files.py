"""Read an adapter from disk, MLX or PEFT format, into factors of one orientation.

Targets, rank and layers are read from the tensors, never from a card or a config. Every
tensor is accounted for: one that can't be applied refuses the adapter by its name.
Only safetensors is opened.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import mlx.core as mx

from fleet.digest import digest_files
from fleet.errors import SourceError
from worker.lora.scale import mlx_scale, peft_scale

Format = Literal["mlx", "peft"]
Shape = tuple[int, int]

_WEIGHTS: dict[Format, str] = {"mlx": "adapters.safetensors", "peft": "adapter_model.safetensors"}
_PREFIXES = ("base_model", "language_model", "model")


@dataclass(frozen=True)
class Factors:
    """One layer's factors: ``a`` (in, rank), ``b`` (rank, out), float32; ``scale`` apart."""

    a: mx.array
    b: mx.array
    scale: float


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as read: factors by the base's own module paths."""

    name: str
    path: Path
    format: Format
    digest: str
    rank: int
    factors: Mapping[str, Factors]

    @property
    def nbytes(self) -> int:
        return sum(f.a.nbytes + f.b.nbytes for f in self.factors.values())


def read_adapter(name: str, path: Path, layers: Mapping[str, Shape]) -> AdapterFiles:
    """The adapter in folder ``path``, checked against ``layers``.

    ``layers``: module path -> (in, out) of every linear layer of the base. Raises
    SourceError that lists what does not fit, with tensor names.
    """
    form = _format(name, path)
    config = _config(name, path)
    tensors = _tensors(name, path / _WEIGHTS[form])
    scale, stated = mlx_scale(name, config) if form == "mlx" else peft_scale(name, config)
    pairs = _pair(name, tensors, _MLX_ROLES if form == "mlx" else _PEFT_ROLES)
    paths = _map_paths(name, sorted(pairs), layers)
    factors = {
        paths[module]: _orient(name, module, pair, layers[paths[module]], scale, form)
        for module, pair in pairs.items()
    }
    _check_rank(name, stated, factors)
    digest = digest_files([path / "adapter_config.json", path / _WEIGHTS[form]])
    rank = max(f.a.shape[1] for f in factors.values())
    return AdapterFiles(name, path, form, digest, rank, factors)


def _format(name: str, path: Path) -> Format:
    if not path.is_dir():
        raise SourceError(name, f"adapter folder '{path}' does not exist; correct 'source'")
    found: list[Format] = [form for form, file in _WEIGHTS.items() if (path / file).is_file()]
    if len(found) == 1:
        return found[0]
    names = " or ".join(_WEIGHTS.values())
    what = "holds neither" if not found else "holds both formats; keep one of"
    raise SourceError(name, f"'{path}' {what} {names}")


def _config(name: str, path: Path) -> dict[str, Any]:
    file = path / "adapter_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(name, f"'{file}' is missing; the scale stands in it") from None
    except (OSError, ValueError) as error:
        raise SourceError(name, f"'{file}' can't be read: {error}") from None
    if not isinstance(config, dict):
        raise SourceError(name, f"'{file}' is not a JSON object")
    return cast(dict[str, Any], config)


def _tensors(name: str, file: Path) -> dict[str, mx.array]:
    try:
        tensors = cast(dict[str, mx.array], mx.load(str(file)))
        _check_floating(name, tensors)
        float32 = {key: value.astype(mx.float32) for key, value in tensors.items()}
        mx.eval(float32)
    except (RuntimeError, ValueError, OSError) as error:
        raise SourceError(name, f"'{file}' can't be read: {error}") from None
    if not float32:
        raise SourceError(name, f"'{file}' holds no tensor")
    broken = [key for key, value in float32.items() if not mx.isfinite(value).all().item()]
    if broken:
        raise SourceError(name, f"tensors with NaN or infinity: {_some(broken)}")
    return float32


def _check_floating(name: str, tensors: Mapping[str, mx.array]) -> None:
    """Integers would be factors quantised without their scales, or flags: not our numbers."""
    others = [f"{k} {v.dtype}" for k, v in tensors.items() if not _is_floating(v)]
    if others:
        raise SourceError(name, f"tensors whose dtype is not floating point: {_some(others)}")


def _is_floating(value: mx.array) -> bool:
    return mx.issubdtype(value.dtype, mx.floating)


def _check_rank(name: str, stated: float | None, factors: Mapping[str, Factors]) -> None:
    """The rank that the scale was computed with must be that of the tensors."""
    other = [path for path, f in factors.items() if stated is not None and f.a.shape[1] != stated]
    if other:
        raise SourceError(
            name,
            f"adapter_config.json states rank {stated:g}, but {_some(other)} have another; the "
            "scale alpha / rank would be wrong; correct the config",
        )


def _mlx_role(key: str) -> tuple[str, str] | None:
    module, _, leaf = key.rpartition(".")
    return (module, leaf[-1]) if leaf in ("lora_a", "lora_b") else None


def _peft_role(key: str) -> tuple[str, str] | None:
    for letter in ("A", "B"):
        for tail in (f".lora_{letter}.weight", f".lora_{letter}.default.weight"):
            if key.endswith(tail):
                return key.removesuffix(tail), letter.lower()
    return None


Roles = Callable[[str], tuple[str, str] | None]
_MLX_ROLES: Roles = _mlx_role
_PEFT_ROLES: Roles = _peft_role


def _pair(
    name: str, tensors: Mapping[str, mx.array], role_of: Roles
) -> dict[str, tuple[mx.array, mx.array]]:
    """module -> (A, B) as stored; every tensor must have a role and a partner."""
    halves: dict[str, dict[str, mx.array]] = {}
    strangers: list[str] = []
    twice: list[str] = []
    for key, value in tensors.items():
        role = role_of(key)
        if role is None or value.ndim != 2:
            strangers.append(f"{key} {tuple(value.shape)}")
        elif role[1] in halves.setdefault(role[0], {}):
            twice.append(key)
        else:
            halves[role[0]][role[1]] = value
    if strangers:
        raise SourceError(name, f"tensors that are not LoRA A or B factors: {_some(strangers)}")
    if twice:
        raise SourceError(name, f"factors that are stored twice: {_some(twice)}")
    lonely = [module for module, half in halves.items() if len(half) != 2]
    if lonely:
        raise SourceError(name, f"layers with only one of A and B: {_some(lonely)}")
    return {module: (half["a"], half["b"]) for module, half in halves.items()}


def _map_paths(name: str, modules: list[str], layers: Mapping[str, Shape]) -> dict[str, str]:
    """Adapter's module path -> base's, by what follows the pipeline's own prefixes."""
    by_tail: dict[str, list[str]] = {}
    for path in layers:
        by_tail.setdefault(_tail(path), []).append(path)
    unknown = [m for m in modules if len(by_tail.get(_tail(m), [])) != 1]
    if unknown:
        raise SourceError(
            name,
            f"{len(unknown)} of {len(modules)} target layers are not linear layers of this base: "
            f"{_some(unknown)}; is it an adapter of another base?",
        )
    paths = {module: by_tail[_tail(module)][0] for module in modules}
    found = list(paths.values())
    twice = [module for module, path in paths.items() if found.count(path) > 1]
    if twice:
        raise SourceError(name, f"modules that mean one layer, stored twice: {_some(twice)}")
    return paths


def _tail(path: str) -> str:
    """The path without what training pipelines put before ``layers.``.

    Only those words: layers of a vision tower are no layers of the language model.
    """
    words = path.split(".")
    while words and words[0] in _PREFIXES:
        words.pop(0)
    return ".".join(words)


def _orient(
    name: str,
    module: str,
    pair: tuple[mx.array, mx.array],
    shape: Shape,
    scale: float,
    form: Format,
) -> Factors:
    # the format decides the orientation: on a square layer the shapes could not
    a, b = pair if form == "mlx" else (pair[0].T, pair[1].T)
    (wide_in, rank), (rank_b, wide_out) = a.shape, b.shape
    if (wide_in, wide_out) != shape or rank != rank_b:
        raise SourceError(
            name,
            f"{module}: A is (in {wide_in}, rank {rank}) and B is (rank {rank_b}, out {wide_out}), "
            f"but the base's layer is in {shape[0]}, out {shape[1]}",
        )
    return Factors(a, b, scale)


def _some(items: list[str]) -> str:
    shown = ", ".join(items[:3])
    return shown if len(items) <= 3 else f"{shown} and {len(items) - 3} more"
