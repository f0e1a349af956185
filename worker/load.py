"""Load a base and all its adapters, prove each, and put the scheduler over them.

Runs on the engine thread, which owns MLX from the first array on.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
from mlx.utils import tree_flatten

from fleet.errors import SourceError
from fleet.schema import Base, Fleet
from worker.base import LoadedBase, load_base
from worker.check.judge import Judge
from worker.embedding import Embedder
from worker.engine.observer import Observer
from worker.engine.prefixes import PrefixStore
from worker.engine.scheduler import Scheduler
from worker.lora.files import AdapterFiles, Shape, read_adapter
from worker.lora.model import AdapterModel
from worker.lora.probe import Probe
from worker.lora.targets import linear_layers
from worker.residency.adapters import AdapterVersion, Registry
from worker.residency.hosting import HostCopies
from worker.residency.loader import Loader
from worker.residency.paging import Memory, Paging
from worker.residency.policy import Budget
from worker.server.resident import Resident
from worker.source import client_folder, local_folder

log = logging.getLogger("ailiance.load")

PREFIX_ENTRIES = 128
PREFIX_BYTES = 256 << 20
# of what a memory_bytes leaves beside the weights, stored prefixes get this part at most
PREFIX_PART = 8


@dataclass(frozen=True)
class Loaded:
    """What the server needs to know of what the engine thread loaded."""

    base: LoadedBase
    resident: Resident
    scheduler: Scheduler
    tokenizer: Any
    embedder: Embedder | None
    paging: Paging
    loader: Loader
    read_from: Callable[[str, str], AdapterFiles]
    """Reads the adapter that a client named, by name and source; for the loader's thread."""
    read_again: Callable[[AdapterVersion], AdapterFiles]
    """Reads what was loaded; for the loader's thread."""
    judge: Judge


def load_worker(fleet: Fleet, name: str, blas: str, observer: Observer) -> Loaded:
    """Base ``name`` of the fleet with its adapters. Raises SourceError."""
    config = fleet.bases[name]
    base = load_base(
        name, local_folder(fleet, name, config.model), config.dtype, config.max_model_len
    )
    layers = linear_layers(base.model)
    # one more than rows may use: where an adapter is proved while all others are taken
    model = AdapterModel(base.model, config.slots + 1, base.dtype)
    read = _Timed(layers, observer)
    budget = plan_budget(name, base, config)
    registry = Registry()
    loader = Loader()

    def read_again(version: AdapterVersion) -> AdapterFiles:
        return read(version.name, version.path)

    host = HostCopies(loader, read_again)
    paging = Paging(
        Memory(model, config.slots, host, budget.budget),
        registry.versions,
        Probe(model, base.vocabulary).proving,
        observer,
    )
    _load_adapters(fleet, name, read, paging, registry)
    resident = Resident(
        base=name,
        root=config.model,
        base_digest=base.digest,
        max_model_len=base.max_model_len,
        vocabulary=base.vocabulary,
        slots=config.slots,
        blas=blas,
        created=int(time.time()),
        registry=registry,
    )
    scheduler = Scheduler(
        model,
        sorted(base.tokenizer.eos_token_ids),
        base.vocabulary,
        base.digest,
        paging,
        PrefixStore(PREFIX_ENTRIES, budget.prefix_bytes),
        config.max_rows,
        observer,
    )
    embedder = (
        Embedder.load(name, base.model, model.active, base.vocabulary)
        if config.embeddings
        else None
    )

    def read_from(adapter: str, source: str) -> AdapterFiles:
        return read(adapter, client_folder(fleet, adapter, source))

    return Loaded(
        base=base,
        resident=resident,
        scheduler=scheduler,
        tokenizer=base.tokenizer,
        embedder=embedder,
        paging=paging,
        loader=loader,
        read_from=read_from,
        read_again=read_again,
        judge=Judge(base, model),
    )


class _Timed:
    """Reads adapters of one base, on any thread, and says how long each took."""

    def __init__(self, layers: Mapping[str, Shape], observer: Observer) -> None:
        self._layers = layers
        self._observer = observer

    def __call__(self, name: str, path: Any) -> AdapterFiles:
        begun_s = time.monotonic()
        files = read_adapter(name, path, self._layers)
        self._observer.on_adapter_read(time.monotonic() - begun_s)
        return files


def _load_adapters(
    fleet: Fleet, base: str, read: _Timed, paging: Paging, registry: Registry
) -> None:
    """All of the file, the pinned ones first, so that they are in slots."""
    entries = fleet.adapters_of(base)
    loaded: dict[str, AdapterVersion] = {}
    paging.expect(len(entries))
    for name in sorted(entries, key=lambda name: not entries[name].pinned):
        files = read(name, local_folder(fleet, name, entries[name].source))
        loaded[name] = paging.load(files, pinned=entries[name].pinned)
        log_loaded(loaded[name])
    for name in entries:
        registry.put(loaded[name])


def log_loaded(version: AdapterVersion) -> None:
    log.info(
        "adapter %s: %s, rank %d, %d layers, max |delta logit| %.2f, sha256 %s",
        version.name,
        version.format,
        version.rank,
        version.layers,
        version.effect,
        version.digest[:12],
    )


@dataclass(frozen=True)
class BasePlan:
    """The budget of a base, and the part of it that stored prefixes may take."""

    budget: Budget
    prefix_bytes: int


def plan_budget(name: str, base: LoadedBase, config: Base) -> BasePlan:
    """Raises SourceError where the weights alone are more than ``memory_bytes``."""
    per_token = kv_token_bytes(base.config, base.dtype.size)
    if config.memory_bytes is None:
        return BasePlan(Budget(float("inf"), 0, per_token), PREFIX_BYTES)
    leaves = cast(list[tuple[str, mx.array]], tree_flatten(base.model.parameters()))
    weights = sum(leaf.nbytes for _, leaf in leaves)
    left = config.memory_bytes - weights
    if left <= 0:
        raise SourceError(
            name,
            f"its weights have {weights} bytes, and memory_bytes is {config.memory_bytes}; "
            f"raise bases.{name}.memory_bytes",
        )
    prefixes = min(PREFIX_BYTES, left // PREFIX_PART)
    return BasePlan(Budget(config.memory_bytes, weights + prefixes, per_token), prefixes)


def kv_token_bytes(config: Mapping[str, Any], dtype_bytes: int) -> int:
    """Keys and values of one token in all layers, by the base's config."""
    text = cast(Mapping[str, Any], config.get("text_config", config))
    heads = int(text["num_attention_heads"])
    width = text.get("head_dim") or int(text["hidden_size"]) // heads
    kv_heads = text.get("num_key_value_heads") or heads
    return int(text["num_hidden_layers"]) * int(kv_heads) * int(width) * 2 * dtype_bytes
