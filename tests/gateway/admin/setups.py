"""A gateway with fake workers whose adapters are administered, and the folders that it may use."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from gateway.admin.access import Access
from gateway.admin.administration import Administration
from gateway.admin.kept import Kept
from gateway.app import create_app
from gateway.service import Gateway
from gateway.upstream import Upstream
from tests.gateway.harness import Servers, Setup, WordRouter


class Administered(Setup):
    """``folder`` is the fleet's; ``mine`` and ``bad`` in it may be loaded."""

    def __init__(self, folder: Path, access: Access | None = None, **limits: Any) -> None:
        super().__init__(folder, **limits)
        self.fleet = self.fleet.model_copy(update={"folder": folder})
        self.access = access or Access(on_loopback=True)
        self.kept: Kept | None = Kept(folder / "state", folder / "adapters.yaml")
        for name in ("mine", "other", "bad"):
            (folder / name).mkdir(exist_ok=True)
        for base in ("apertus", "devstral"):
            adapters = self.fleet.adapters_of(base)
            self.workers[base].adapters = {
                name: str(self.fleet.resolve(a.source)) for name, a in adapters.items()
            }

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        servers, upstreams = Servers(), dict[str, Upstream]()
        for base, worker in self.workers.items():
            uds = self.folder / f"{base}.sock"
            servers.start(worker.app(), uds)
            upstreams[base] = Upstream(base, uds=str(uds), timeouts=self.timeouts)
        self.gateway = Gateway(self.fleet, WordRouter(), upstreams, limits=self.limits)
        self.admin = Administration(self.gateway, self.kept, grace_s=0)
        self.url = servers.start(create_app(self.gateway, self.admin, self.access))
        try:
            async with httpx.AsyncClient(base_url=self.url, timeout=10) as client:
                yield client
        finally:
            await servers.stop()


def mine(**fields: Any) -> dict[str, Any]:
    return {"lora_name": "mine", "lora_path": "mine", "base": "apertus"} | fields


async def load(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/v1/load_lora_adapter", json=mine(**fields))


async def unload(client: httpx.AsyncClient, name: str = "mine") -> httpx.Response:
    return await client.post("/v1/unload_lora_adapter", json={"lora_name": name})
