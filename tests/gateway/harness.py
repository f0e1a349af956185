"""A fleet file without files behind it, fake workers on Unix sockets, a gateway on port 0."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from fleet.schema import Fleet
from gateway.app import create_app
from gateway.service import Gateway, Limits
from gateway.upstream import Timeouts, Upstream
from router.decision import Decision, Topic
from tests.gateway.fake_worker import Fake

FLEET: dict[str, Any] = {
    "version": 1,
    "prefix": "ailiance",
    "default_base": "apertus",
    "bases": {
        "apertus": {"model": "demo/models/apertus"},
        "devstral": {"model": "demo/models/devstral"},
        "big": {"engine": "openai", "url": "http://127.0.0.1:1", "model": "org/Big-70B"},
    },
    "adapters": {
        "electronics": {"base": "apertus", "source": "demo/e", "domain": "electronics"},
        "power": {
            "base": "apertus",
            "source": "demo/p",
            "domain": "power",
            "status": "quarantined",
            "reason": "loops",
        },
        "python": {"base": "devstral", "source": "demo/y", "domain": "python"},
        "law": {"base": "big", "source": "org/law-lora", "domain": "law"},
    },
    "domains": {
        name: {"description": name, "examples": "x"}
        for name in ("electronics", "power", "python", "law", "music")
    },
    "aliases": {"gpt-4o": "ailiance", "amp": "ailiance-apertus-electronics"},
}


def make_fleet(**changes: Any) -> Fleet:
    return Fleet.model_validate(FLEET | changes)


class WordRouter:
    """A router for tests: the first domain named in the last turn, else the session's."""

    is_fast = True
    digest = "0" * 64
    domains = tuple(FLEET["domains"])

    def classify(self, turns: Sequence[tuple[str, str]], earlier: Topic | None = None) -> Decision:
        text = turns[-1][1]
        for domain in FLEET["domains"]:
            if domain in text:
                scores = {domain: 0.9, "general": 0.1}
                return Decision(domain, 0.9, "classified", scores, 0.1, Topic(domain, 0.9))
        if earlier is not None:
            return Decision(*earlier, "sticky", {"general": 1.0}, 0.5, earlier)
        return Decision(None, 0.2, "low_confidence", {"electronics": 0.2, "general": 0.8})


class Servers:
    """uvicorn servers on real sockets, all stopped together at the end."""

    def __init__(self) -> None:
        self._running: list[tuple[uvicorn.Server, asyncio.Task[None], socket.socket]] = []

    def start(self, app: Any, uds: Path | None = None) -> str:
        """The base URL of a TCP server; it accepts connections from now on."""
        if uds is not None:
            uds.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(uds))
        else:
            listener = socket.socket(proto=socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))  # no signal handlers
        self._running.append((server, task, listener))
        return "" if uds else f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def stop(self) -> None:
        for server, _, _ in self._running:
            server.should_exit = True
        for _, task, listener in self._running:
            await task
            listener.close()


class Setup:
    """A gateway in front of fake workers of ``apertus`` and ``devstral``."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.folder = folder
        self.workers = {"apertus": Fake("apertus"), "devstral": Fake("devstral"), "big": Fake()}
        self.workers["big"].reports = False
        self.fleet = make_fleet()
        self.limits = Limits(**limits)
        self.timeouts = Timeouts(first_byte_s=10.0, between_chunks_s=10.0)

    @property
    def worker(self) -> Fake:
        return self.workers["apertus"]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        servers, upstreams = Servers(), dict[str, Upstream]()
        for base, worker in self.workers.items():
            uds = self.folder / f"{base}.sock"
            servers.start(worker.app(), uds)
            upstreams[base] = Upstream(base, uds=str(uds), timeouts=self.timeouts)
        self.gateway = Gateway(self.fleet, WordRouter(), upstreams, limits=self.limits)
        self.url = servers.start(create_app(self.gateway))
        try:
            async with httpx.AsyncClient(base_url=self.url, timeout=10) as client:
                yield client
        finally:
            await servers.stop()


def run(setup: Setup, test: Callable[[httpx.AsyncClient], Any]) -> Any:
    """Runs one asynchronous test against the running setup."""

    async def body() -> Any:
        async with asyncio.timeout(20), setup.running() as client:
            return await test(client)

    return asyncio.run(body())


def chat(model: str = "ailiance-apertus", content: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}]} | fields
