"""Adapters over HTTP: load, replace, unload, list, as vLLM's endpoints do it.

No key is asked for: a worker listens on a Unix socket or on loopback, and the gateway asks. Loads
are done one at a time, read on the loader's thread, proved between two steps of the engine. What is
refused changes nothing.
"""

import asyncio
import logging
from functools import partial
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from fleet.errors import SourceError
from fleet.schema import NAME
from wire.errors import InvalidRequest, NotFound
from wire.parsing import WireModel, load_json, validate
from worker.engine.engine import Engine
from worker.load import Loaded, log_loaded
from worker.lora.files import AdapterFiles
from worker.residency.adapters import AdapterVersion
from worker.server.checks import Checks

log = logging.getLogger("ailiance.adapters")

INVALID = "InvalidUserInput"
MISSING = "NotFoundError"


class LoadRequest(WireModel):
    """``POST /v1/load_lora_adapter``. ``lora_path``: a folder, or ``org/name@revision``."""

    lora_name: str
    lora_path: str
    load_inplace: bool = False


class UnloadRequest(WireModel):
    """``POST /v1/unload_lora_adapter``."""

    lora_name: str


class CheckRequest(WireModel):
    """``POST /v1/adapters/check``, of this worker only. Without names: all."""

    lora_names: list[str] | None = None


class NewNames(Protocol):
    """Who is told of names that may answer from now on."""

    def start_at_zero(self, adapters: list[str]) -> None: ...


class Adapters:
    """Loads and unloads; belongs to the event loop."""

    def __init__(self, engine: Engine, loaded: Loaded, names: NewNames) -> None:
        self._engine = engine
        self._resident = loaded.resident
        self._registry = loaded.resident.registry
        self._paging = loaded.paging
        self._loader = loaded.loader
        self._read_from = loaded.read_from
        self._names = names
        self._checks = Checks(engine, loaded)
        self._one_at_a_time = asyncio.Lock()
        self._registry.on_unused = self._retire

    async def load(self, request: LoadRequest) -> str:
        """What vLLM answers. Raises InvalidRequest with the numbers, EngineFailed."""
        name = request.lora_name
        self._check_name(name)
        async with self._one_at_a_time:
            former = self._registry.versions.get(name)
            if former is not None and not request.load_inplace:
                raise InvalidRequest(
                    f"The lora adapter '{name}' has already been loaded. If you want to load the "
                    "adapter in place, set 'load_inplace' to True.",
                    param="lora_name",
                    code=INVALID,
                )
            pinned = former is not None and former.pinned
            try:
                files = await self._read(name, request.lora_path)
                loading = self._paging.loading(files, pinned=pinned)
                version = await self._engine.run_pieces(loading)
            except SourceError as error:
                raise InvalidRequest(str(error), param="lora_path", code=INVALID) from None
            self._registry.put(version)
        self._names.start_at_zero([name])
        log_loaded(version)
        return f"Success: LoRA adapter '{name}' added successfully."

    async def unload(self, request: UnloadRequest) -> str:
        """What vLLM answers. Raises NotFound."""
        name = request.lora_name
        async with self._one_at_a_time:
            version = self._registry.remove(name)
            if version is None:
                raise NotFound(
                    f"The lora adapter '{name}' cannot be found.", param="lora_name", code=MISSING
                )
        log.info("adapter %s: unloaded, sha256 %s", name, version.digest[:12])
        return f"Success: LoRA adapter '{name}' removed successfully."

    async def check(self, request: CheckRequest) -> list[dict[str, Any]]:
        """``facts``, with a check of those that are asked for and had none. Raises NotFound."""
        known = self._registry.versions
        for name in request.lora_names or ():
            if name not in known:
                raise NotFound(
                    f"The lora adapter '{name}' cannot be found.", param="lora_names", code=MISSING
                )
        await self._checks.check(known if request.lora_names is None else request.lora_names)
        return self.facts()

    def facts(self) -> list[dict[str, Any]]:
        """Every adapter, where it is, and the proof of it."""
        return [self._facts(version) for version in self._registry.versions.values()]

    def _facts(self, version: AdapterVersion) -> dict[str, Any]:
        return {
            "name": version.name,
            "base": self._resident.base,
            "format": f"{version.format}+dora" if version.dora else version.format,
            "rank": version.rank,
            "layers": version.layers,
            "targets": version.targets,
            "bytes": version.nbytes,
            "digest": version.digest,
            "effect": round(version.effect, 4),
            "tier": self._paging.tier_of(version.digest),
            "pinned": version.pinned,
            "check": self._checks.facts(version),
        }

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name) or name == self._resident.base:
            raise InvalidRequest(
                f"'{name}' can't be an adapter's name here; use lower-case letters, digits, '.', "
                f"'_', '-', and another name than the base's, '{self._resident.base}'",
                param="lora_name",
                code=INVALID,
            )

    async def _read(self, name: str, source: str) -> AdapterFiles:
        return await self._loader.ask(partial(self._read_from, name, source))

    def _retire(self, version: AdapterVersion) -> None:
        digest = version.digest
        self._engine.post(lambda: self._paging.retire(digest))


def add_routes(app: FastAPI, adapters: Adapters) -> None:
    @app.post("/v1/load_lora_adapter")
    async def load(request: Request) -> PlainTextResponse:
        asked = validate(LoadRequest, load_json(await request.body()))
        return PlainTextResponse(await adapters.load(asked))

    @app.post("/v1/unload_lora_adapter")
    async def unload(request: Request) -> PlainTextResponse:
        asked = validate(UnloadRequest, load_json(await request.body()))
        return PlainTextResponse(await adapters.unload(asked))

    @app.get("/v1/adapters")
    async def listed() -> JSONResponse:
        return JSONResponse({"object": "list", "data": adapters.facts()})

    @app.post("/v1/adapters/check")
    async def check(request: Request) -> JSONResponse:
        asked = validate(CheckRequest, load_json(await request.body()))
        return JSONResponse({"object": "list", "data": await adapters.check(asked)})
