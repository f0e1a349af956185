"""``ailiance serve``: bind, start the workers, serve, stop everything."""

import asyncio
import contextlib
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvicorn

from fleet.schema import Fleet
from gateway import __version__
from gateway.admin.access import Access, is_loopback
from gateway.admin.administration import Administration
from gateway.admin.kept import Kept
from gateway.app import create_app
from gateway.clock import now_s
from gateway.metrics import Metrics
from gateway.reload import Stamps, stamps_of, watch
from gateway.responses.store import Store
from gateway.service import Classifier, Gateway
from gateway.supervisor import Supervisor, WorkerCommand, worker_argv, worker_env
from gateway.upstream import Upstream
from gateway.worker_state import EXIT_CONFIG, Phase

DRAIN_S = 2
SUN_PATH_MOST = 100  # 104 on macOS, 108 on Linux, with the closing zero


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """``config`` is the fleet's file, as the workers will read it again."""

    config: Path
    host: str = "127.0.0.1"
    port: int = 9300
    worker: Callable[..., tuple[str, ...]] = worker_argv
    state: Path | None = None
    """The folder of stored responses and of run-time adapters; None: none are kept."""
    stamps: Stamps | None = None
    """Of the files, from before fleet and router were read from them; None: as they are now."""
    admin_key: str | None = field(default=None, repr=False)


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, bound before any worker starts. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with protocol 0 asyncio would not set TCP_NODELAY: 40 ms on each plain answer
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.set_inheritable(False)
    except OSError:
        listener.close()
        raise
    return listener


async def serve(
    options: ServeOptions, fleet: Fleet, router: Classifier, listener: socket.socket
) -> int:
    """Serve until SIGINT or SIGTERM; the exit code. Needs the main thread, for the signals."""
    start_s = now_s()
    with _socket_folder() as folder:
        metrics = Metrics()
        phases: dict[str, Phase] = {}
        supervisors = _supervisors(options, fleet, metrics, phases, folder)
        upstreams = _upstreams(fleet, supervisors, folder)
        store = None if options.state is None else Store(options.state)
        gateway = Gateway(fleet, router, upstreams, metrics, phases=phases, store=store)
        kept = None if options.state is None else Kept(options.state, options.config)
        admin = Administration(gateway, kept)
        direct = _prepare(supervisors, admin)
        access = Access(options.admin_key, is_loopback(listener.getsockname()[0]))
        server = _Server(gateway, admin, access)
        workers = [asyncio.create_task(supervisor.run()) for supervisor in supervisors]
        stopping = _stop_on_signals(server, gateway, workers)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        settled = asyncio.create_task(_settle(supervisors))
        watching = asyncio.create_task(
            watch(admin, options.config, options.stamps or stamps_of(options.config, fleet))
        )
        try:
            await asyncio.wait((settled, serving, stopping), return_when="FIRST_COMPLETED")
            failed = [s for s in supervisors if s.state.phase == "failed"]
            if failed:
                server.should_exit = True
                for supervisor in failed:
                    _complain(f"base '{supervisor.base}' can't start: {supervisor.last_line}")
            elif all(s.state.phase == "ready" for s in supervisors):
                _announce(options, gateway, listener, now_s() - start_s)
            await serving
            return EXIT_CONFIG if failed else 0
        finally:
            settled.cancel()
            watching.cancel()
            stopping.cancel()
            for worker in workers:
                # a second cancel would break off the wait for a worker's end
                if not worker.cancelling():
                    worker.cancel()
            await asyncio.gather(*workers, watching, return_exceptions=True)
            for upstream in direct:
                await upstream.aclose()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would raise the signal again at the end."""

    def __init__(self, gateway: Gateway, admin: Administration, access: Access) -> None:
        config = uvicorn.Config(
            create_app(gateway, admin, access),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=DRAIN_S,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _stop_on_signals(
    server: _Server, gateway: Gateway, workers: list[asyncio.Task[None]]
) -> asyncio.Future[None]:
    """Resolved at the first signal, which ends streams and workers; the second one hurries."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if stopping.done():
            server.force_exit = True
            return
        stopping.set_result(None)
        server.should_exit = True
        gateway.streams.stop_all()
        for worker in workers:
            worker.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopping


async def _settle(supervisors: list[Supervisor]) -> None:
    """Returns when all are ready, or one never will be."""
    waits = [asyncio.create_task(supervisor.settled()) for supervisor in supervisors]
    try:
        for wait in asyncio.as_completed(waits):
            if await wait != "ready":
                return
    finally:
        for task in waits:
            task.cancel()


def _supervisors(
    options: ServeOptions, fleet: Fleet, metrics: Metrics, phases: dict[str, Phase], folder: Path
) -> list[Supervisor]:
    def on_phase(base: str, phase: Phase) -> None:
        phases[base] = phase

    def on_restart(base: str) -> None:
        metrics.restarts.labels(base).inc()

    served = [name for name, base in fleet.bases.items() if base.engine == "mlx"]
    env = worker_env(len(served))
    found: list[Supervisor] = []
    for index, name in enumerate(served):
        metrics.restarts.labels(name)  # a series that starts at 0
        phases[name] = "starting"
        uds = folder / f"{index}.sock"
        argv = options.worker(
            *("--config", str(options.config.resolve()), "--base", name),
            *("--uds", str(uds), "--exit-with-parent"),
        )
        command = WorkerCommand(name, argv, uds, env)
        found.append(
            Supervisor(command, on_phase=on_phase, on_restart=on_restart, write_line=_write_line)
        )
    return found


def _prepare(supervisors: list[Supervisor], admin: Administration) -> list[Upstream]:
    """Run-time adapters are loaded before a worker is called ready, on connections of their own."""
    direct: list[Upstream] = []
    for supervisor in supervisors:
        upstream = Upstream(supervisor.base, uds=str(supervisor.uds))
        supervisor.prepare = partial(admin.restore, supervisor.base, upstream)
        direct.append(upstream)
    return direct


def _upstreams(fleet: Fleet, supervisors: list[Supervisor], folder: Path) -> dict[str, Upstream]:
    supervised = {supervisor.base: supervisor for supervisor in supervisors}
    upstreams: dict[str, Upstream] = {}
    for name, base in fleet.bases.items():
        supervisor = supervised.get(name)
        if supervisor is None:
            upstreams[name] = Upstream(name, url=base.url or "")
            continue
        upstreams[name] = supervisor.upstream = Upstream(
            name, uds=str(supervisor.uds), unavailable=supervisor.unavailable
        )
    return upstreams


@contextlib.contextmanager
def _socket_folder() -> Generator[Path]:
    """A private folder with a path short enough for a Unix socket; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ailiance-"))
    if len(str(folder)) + len("/9999.sock") > SUN_PATH_MOST:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="ailiance-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _announce(
    options: ServeOptions, gateway: Gateway, listener: socket.socket, took_s: float
) -> None:
    fleet = gateway.fleet
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    example = (
        f"curl -s {url}/v1/chat/completions -H 'content-type: application/json' \\\n"
        f'  -d \'{{"model": "{fleet.prefix}", "messages": '
        '[{"role": "user", "content": "What is a decoupling capacitor for?"}]}\''
    )
    sys.stdout.write(
        f"ailiance {__version__} ready on {url} in {took_s:.1f} s "
        f"({len(fleet.bases)} bases, {len(fleet.adapters)} adapters)\n"
        f"models: {', '.join(name for name, _ in gateway.names.items())}\n"
        f"try:\n{example}\n"
    )
    sys.stdout.flush()


def _write_line(line: str) -> None:
    sys.stderr.write(line + "\n")


def _complain(line: str) -> None:
    sys.stderr.write(f"ailiance: {line}\n")
