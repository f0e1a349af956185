"""Adapters over HTTP: load, replace, unload, list, as vLLM's endpoints do it.

No key is asked for: a worker listens on a Unix socket or on loopback, and the gateway asks. Loads
are done one at a time, read on the loader's thread, proved between two steps of the engine. What is
refused changes nothing. A download can be asked for first: it is in nobody's way.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from fleet.errors import SourceError
from fleet.schema import NAME, is_hub_id
from wire.errors import InvalidRequest, NotFound
from wire.parsing import WireModel, load_json, validate
from worker.engine.engine import Engine
from worker.load import Loaded, log_loaded
from worker.lora.files import AdapterFiles
from worker.residency.adapters import AdapterVersion
from worker.residency.loader import Loader
from worker.server.checks import Checks
from worker.source import hub_folder

log = logging.getLogger("ailiance.adapters")

INVALID = "InvalidUserInput"
MISSING = "NotFoundError"
DIGEST = "x-ailiance-adapter-digest"
FETCHES = 4
"""Downloads at a time; more wait."""


class LoadRequest(WireModel):
    """``POST /v1/load_lora_adapter``. ``lora_path``: a folder, or ``org/name@revision``.

    ``pinned`` is ours, not vLLM's: whether it keeps its slot; None: as what had the name before.
    """

    lora_name: str
    lora_path: str
    load_inplace: bool = False
    pinned: bool | None = None


class FetchRequest(WireModel):
    """``POST /v1/fetch_lora_adapter``, ours: have the files here before they are loaded."""

    lora_name: str
    lora_path: str


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

    def __init__(
        self,
        engine: Engine,
        loaded: Loaded,
        names: NewNames,
        download: Callable[[str, str], Path] = hub_folder,
    ) -> None:
        self._download = download
        self._engine = engine
        self._resident = loaded.resident
        self._registry = loaded.resident.registry
        self._paging = loaded.paging
        self._loader = loaded.loader
        self._read_from = loaded.read_from
        self._names = names
        self._checks = Checks(engine, loaded)
        self._one_at_a_time = asyncio.Lock()
        self._fetches = asyncio.Semaphore(FETCHES)
        self._registry.on_unused = self._retire

    async def fetch(self, request: FetchRequest) -> None:
        """Download what is on the hub; a path is where it is. Raises InvalidRequest."""
        name, source = request.lora_name, request.lora_path
        if not is_hub_id(source):
            return
        async with self._fetches:
            # a thread of its own: the loader's reads what rows wait for
            loader = Loader()
            try:
                await loader.ask(partial(self._download, name, source))
            except SourceError as error:
                raise InvalidRequest(str(error), param="lora_path", code=INVALID) from None
            finally:
                loader.close()

    async def load(self, request: LoadRequest) -> AdapterVersion:
        """What the name means from now on. Raises InvalidRequest with the numbers, EngineFailed."""
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
            pinned = request.pinned
            if pinned is None:
                pinned = former is not None and former.pinned
            try:
                files = await self._read(name, request.lora_path)
                loading = self._paging.loading(files, pinned=pinned)
                version = await self._engine.run_pieces(loading)
            except SourceError as error:
                raise InvalidRequest(str(error), param="lora_path", code=INVALID) from None
            self._registry.put(version)
            self._unpin(former)
        self._names.start_at_zero([name])
        log_loaded(version)
        return version

    async def unload(self, request: UnloadRequest) -> str:
        """What vLLM answers. Raises NotFound."""
        name = request.lora_name
        async with self._one_at_a_time:
            version = self._registry.remove(name)
            self._unpin(version)
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

    def _unpin(self, former: AdapterVersion | None) -> None:
        """What a name no longer means keeps its slot only if another name asks for that."""
        if former is None or not former.pinned:
            return
        digest, versions = former.digest, self._registry.versions.values()
        if not any(each.pinned for each in versions if each.digest == digest):
            self._engine.post(lambda: self._paging.unpin(digest))

    async def _read(self, name: str, source: str) -> AdapterFiles:
        return await self._loader.ask(partial(self._read_from, name, source))

    def _retire(self, version: AdapterVersion) -> None:
        digest = version.digest
        self._engine.post(lambda: self._paging.retire(digest))


def add_routes(app: FastAPI, adapters: Adapters) -> None:
    @app.post("/v1/load_lora_adapter")
    async def load(request: Request) -> PlainTextResponse:
        asked = validate(LoadRequest, load_json(await request.body()))
        version = await adapters.load(asked)
        text = f"Success: LoRA adapter '{version.name}' added successfully."
        return PlainTextResponse(text, headers={DIGEST: version.digest})

    @app.post("/v1/fetch_lora_adapter")
    async def fetch(request: Request) -> PlainTextResponse:
        await adapters.fetch(validate(FetchRequest, load_json(await request.body())))
        return PlainTextResponse("Success: its files are here.")

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
