"""Read an adapter from disk, MLX or PEFT format, into factors of one orientation.

Targets, rank and layers are read from the tensors, never from a card or a config. Every
tensor is accounted for: one that can't be applied refuses the adapter by its name.
Only safetensors is opened.

Any thread may call this. MLX's streams belong to threads (mlx 0.32: an array that is not
yet computed can't be evaluated in another thread), so all work is numpy's, and MLX only
copies the finished numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from fleet.digest import digest_contents
from fleet.errors import SourceError
from worker.lora.formats.folder import CONFIG, WEIGHTS, Format, open_folder
from worker.lora.formats.naming import shown, some
from worker.lora.formats.paths import is_embedding, map_paths, trained_name
from worker.lora.formats.safetensors import Floats, Stored, Weights, open_weights
from worker.lora.formats.scale import Scales, mlx_scales, peft_scales
from worker.lora.formats.tensors import Target, find_targets

Shape = tuple[int, int]


@dataclass(frozen=True)
class Factors:
    """One layer's factors: ``a`` (in, rank), ``b`` (rank, out), float32; ``scale`` apart.

    Of an embedding: in is the vocabulary, out the width. ``magnitude`` (out,): DoRA's.
    ``tied`` (rank, out): the ``b`` of an embedding that also counts where the base makes its
    logits with the embeddings, as in mlx-lm; None where it does not, as in PEFT.
    """

    a: mx.array
    b: mx.array
    scale: float
    magnitude: mx.array | None = None
    tied: mx.array | None = None

    @property
    def nbytes(self) -> int:
        # mlx-lm's ``tied`` is ``b`` itself, and held once
        own = (self.a, self.b, self.magnitude, None if self.tied is self.b else self.tied)
        return sum(array.nbytes for array in own if array is not None)


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
        return sum(f.nbytes for f in self.factors.values())

    @property
    def targets(self) -> tuple[str, ...]:
        """The kinds of layers: ``q_proj``, ``down_proj``, ..."""
        return tuple(sorted({path.rpartition(".")[2] for path in self.factors}))

    @property
    def dora(self) -> bool:
        return any(f.magnitude is not None for f in self.factors.values())


def read_adapter(name: str, path: Path, layers: Mapping[str, Shape]) -> AdapterFiles:
    """The adapter in folder ``path``, checked against ``layers``.

    ``layers``: module path -> (in, out) of every layer of the base that adapters may target.
    Raises SourceError that lists what does not fit, with tensor names.
    """
    folder = open_folder(name, path)
    scales = (mlx_scales if folder.form == "mlx" else peft_scales)(name, folder.config)
    try:
        with open_weights(folder.weights) as weights:
            fits = _fit(name, folder.form, weights.tensors, scales, layers)
            values = _read(name, weights)
            digest = weights.digest()
    except (ValueError, OSError, MemoryError) as error:
        raise SourceError(name, f"'{path / WEIGHTS[folder.form]}' can't be read: {error}") from None
    factors = {fit.path: _factors(fit, values, folder.form) for fit in fits}
    rank = max(f.a.shape[1] for f in factors.values())
    total = digest_contents({CONFIG: folder.config_digest, WEIGHTS[folder.form]: digest})
    return AdapterFiles(name, path, folder.form, total, rank, factors)


@dataclass(frozen=True)
class _Fit:
    """One module's tensors, where they go in the base, and how strongly."""

    path: str
    target: Target
    scale: float


def _fit(
    name: str,
    form: Format,
    tensors: Mapping[str, Stored],
    scales: Scales,
    layers: Mapping[str, Shape],
) -> list[_Fit]:
    """Everything that names and shapes can tell, before the data are read."""
    targets = find_targets(name, tensors, form, scales.dora)
    paths = map_paths(name, sorted(targets), layers)
    fits: list[_Fit] = []
    other_rank: list[str] = []
    for module, target in targets.items():
        rank = _check_shapes(name, module, target, tensors, layers[paths[module]], form)
        stated = scales.of(trained_name(module))
        if stated.ranks and rank not in stated.ranks:
            said = " or ".join(f"{r:g}" for r in stated.ranks)
            other_rank.append(f"{shown(module)} has {rank}, stated {said}")
        fits.append(_Fit(paths[module], target, stated.scale_at(rank)))
    if other_rank:
        raise SourceError(
            name,
            f"adapter_config.json states another rank than the tensors have: {some(other_rank)}; "
            "the scale alpha / rank would be wrong; correct the config",
        )
    return fits


def _check_shapes(
    name: str,
    module: str,
    target: Target,
    tensors: Mapping[str, Stored],
    shape: Shape,
    form: Format,
) -> int:
    """The rank, if the tensors fit a layer of that shape."""
    # the format decides the orientation: on a square layer the shapes could not
    turn = 1 if form == "mlx" else -1
    wide_in, rank = tensors[target.a].shape[::turn]
    rank_b, wide_out = tensors[target.b].shape[::turn]
    if (wide_in, wide_out) != shape or rank != rank_b or rank == 0:
        raise SourceError(
            name,
            f"{shown(module)}: A is (in {wide_in}, rank {rank}) and B is (rank {rank_b}, out "
            f"{wide_out}), but the base's layer is in {shape[0]}, out {shape[1]}",
        )
    if target.m is not None and is_embedding(module):
        raise SourceError(
            name,
            f"{shown(target.m)}: DoRA on embeddings is not supported; train without it, or leave "
            "the embeddings out",
        )
    if target.m is not None and tensors[target.m].shape != (wide_out,):
        raise SourceError(
            name,
            f"{shown(target.m)} {tensors[target.m].shape}: the base's layer is out {wide_out}",
        )
    return rank


def _read(name: str, weights: Weights) -> dict[str, Floats]:
    values: dict[str, Floats] = {}
    broken: list[str] = []
    for key, value in weights.read():
        if not np.isfinite(value).all():
            broken.append(shown(key))
        values[key] = value
    if broken:
        raise SourceError(name, f"tensors with NaN or infinity: {some(broken)}")
    return values


def _factors(fit: _Fit, values: Mapping[str, Floats], form: Format) -> Factors:
    a, b = values[fit.target.a], values[fit.target.b]
    if form == "peft":
        a, b = a.T, b.T
    magnitude = None if fit.target.m is None else mx.array(values[fit.target.m])
    stored = _array(b)
    # mlx-lm's LoRAEmbedding.as_linear has the delta, the lm_head of a base wrapped by PEFT not
    tied = stored if form == "mlx" and is_embedding(fit.path) else None
    return Factors(_array(a), stored, fit.scale, magnitude, tied)


def _array(values: Floats) -> mx.array:
    return mx.array(np.ascontiguousarray(values))
