"""Load a base and all its adapters, prove each, and put the scheduler over them.

Runs on the engine thread, which owns MLX from the first array on.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleet.schema import Fleet
from worker.base import LoadedBase, load_base
from worker.embedding import Embedder
from worker.engine.observer import Observer
from worker.engine.prefixes import PrefixStore
from worker.engine.scheduler import Scheduler
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import AdapterModel, linear_layers
from worker.lora.probe import probe_adapter
from worker.server.resident import Resident, ResidentAdapter
from worker.source import local_folder

log = logging.getLogger("ailiance.load")

PREFIX_ENTRIES = 128
PREFIX_BYTES = 256 << 20


@dataclass(frozen=True)
class Loaded:
    """What the server needs to know of what the engine thread loaded."""

    base: LoadedBase
    resident: Resident
    scheduler: Scheduler
    tokenizer: Any
    embedder: Embedder | None


def load_worker(fleet: Fleet, name: str, blas: str, observer: Observer) -> Loaded:
    """Base ``name`` of the fleet with its adapters. Raises SourceError."""
    config = fleet.bases[name]
    base = load_base(
        name, local_folder(fleet, name, config.model), config.dtype, config.max_model_len
    )
    layers = linear_layers(base.model)
    files: list[AdapterFiles] = []
    read_s: dict[str, float] = {}
    for adapter, entry in fleet.adapters_of(name).items():
        begun = time.monotonic()
        files.append(read_adapter(adapter, local_folder(fleet, adapter, entry.source), layers))
        read_s[adapter] = time.monotonic() - begun
    model = AdapterModel(base.model, files, base.dtype)
    adapters = _prove(model, files, read_s, base.vocabulary)
    resident = Resident(
        base=name,
        root=config.model,
        base_digest=base.digest,
        max_model_len=base.max_model_len,
        vocabulary=base.vocabulary,
        blas=blas,
        created=int(time.time()),
        adapters=adapters,
    )
    scheduler = Scheduler(
        model,
        sorted(base.tokenizer.eos_token_ids),
        base.vocabulary,
        resident.digests(),
        PrefixStore(PREFIX_ENTRIES, PREFIX_BYTES),
        config.max_rows,
        observer,
    )
    embedder = (
        Embedder.load(name, base.model, model.active, base.vocabulary)
        if config.embeddings
        else None
    )
    return Loaded(base, resident, scheduler, base.tokenizer, embedder)


def _prove(
    model: AdapterModel, files: Sequence[AdapterFiles], read_s: dict[str, float], vocabulary: int
) -> dict[str, ResidentAdapter]:
    adapters: dict[str, ResidentAdapter] = {}
    for file in files:
        begun = time.monotonic()
        effect = probe_adapter(model, file.name, vocabulary)
        adapters[file.name] = ResidentAdapter(
            name=file.name,
            format=file.format,
            digest=file.digest,
            rank=file.rank,
            layers=len(file.factors),
            nbytes=file.nbytes,
            effect=effect,
            load_s=read_s[file.name] + time.monotonic() - begun,
        )
        log.info(
            "adapter %s: %s, rank %d, %d layers, max |delta logit| %.2f, sha256 %s",
            file.name,
            file.format,
            file.rank,
            len(file.factors),
            effect,
            file.digest[:12],
        )
    return adapters
