"""The worker process: load on the engine thread, serve, and die with the engine.

Exit codes: 0 asked to stop; 78 the base or an adapter can't be served as configured (the
gateway does not restart that); 70 the engine died.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop

from fleet.errors import SourceError
from fleet.schema import Fleet
from worker.base import textless_ids
from worker.engine.engine import Engine
from worker.engine.request import GenerationRequest
from worker.engine.text import TextStream, new_text_stream
from worker.guidance.compiler import Compiler
from worker.load import Loaded, load_worker
from worker.prompt.prompter import Prompter
from worker.server.adapters import Adapters
from worker.server.app import Service, build_app
from worker.server.defaults import SamplingDefaults
from worker.server.embeddings import Embeddings
from worker.server.metrics import EngineRows, WorkerMetrics
from worker.server.plans import Planner
from worker.tools.choose import format_of

EXIT_CONFIG = 78
EXIT_ENGINE = 70
log = logging.getLogger("ailiance.worker")


@dataclass(frozen=True)
class Listen:
    """Where to listen: a Unix socket, or a host and port."""

    uds: str | None
    host: str
    port: int


def run_worker(
    fleet: Fleet, base: str, blas: str, listen: Listen, *, exit_with_parent: bool
) -> int:
    """Serve until told to stop; returns the exit code."""
    if exit_with_parent:
        threading.Thread(target=_exit_with_parent, name="parent", daemon=True).start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(fleet, base, blas, listen))
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 (for the user)
        return EXIT_CONFIG
    except KeyboardInterrupt:
        return 0


async def _serve(fleet: Fleet, base: str, blas: str, listen: Listen) -> int:
    config = fleet.bases[base]
    metrics = WorkerMetrics(base)
    loaded: list[Loaded] = []

    def start() -> Any:
        loaded.append(load_worker(fleet, base, blas, metrics))
        return loaded[0].scheduler

    def new_text(request: GenerationRequest) -> TextStream:
        return new_text_stream(loaded[0].tokenizer.detokenizer, textless, request)

    def on_death() -> None:
        # let the error events of the running streams reach their clients first
        asyncio.get_running_loop().call_later(0.2, os._exit, EXIT_ENGINE)

    engine = Engine(config.max_rows, config.max_queue, new_text, on_death)
    await engine.start(start)
    resident = loaded[0].resident
    textless = textless_ids(loaded[0].tokenizer)
    scheduler, paging = loaded[0].scheduler, loaded[0].paging
    metrics.watch(
        lambda: EngineRows(scheduler.running, list(scheduler.waiting), config.max_rows),
        resident,
        paging,
    )
    planner = _planner(loaded[0], config.max_rows + config.max_queue)
    embeddings = Embeddings(
        engine, resident, planner.prompter, loaded[0].embedder, config.max_queue
    )
    adapters = Adapters(engine, loaded[0], metrics)
    service = Service(engine, resident, planner, embeddings, adapters, paging, metrics.render)
    log.info("%s is ready: %d adapters, BLAS: %s", base, len(resident.adapters), blas)
    server = _Server(_uvicorn_config(build_app(service), listen))
    _stop_on_signals(server, engine)
    await server.serve()
    await engine.stop()
    return 0


def _planner(loaded: Loaded, most_rows: int) -> Planner:
    base, resident, tokenizer = loaded.base, loaded.resident, loaded.tokenizer
    return Planner(
        Prompter(tokenizer, resident.max_model_len, format_of(tokenizer)),
        SamplingDefaults.read(base.path),
        Compiler(tokenizer, resident.vocabulary, sorted(tokenizer.eos_token_ids)),
        resident.vocabulary,
        most_rows,
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the engine is to end the streams first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _stop_on_signals(server: uvicorn.Server, engine: Engine) -> None:
    """At the first signal every stream gets its error event, then the server ends."""
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        server.force_exit = bool(stopping)
        server.should_exit = True
        stopping.append(loop.create_task(engine.stop()))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _uvicorn_config(app: Any, listen: Listen) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        uds=listen.uds,
        host=listen.host,
        port=listen.port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )


def _exit_with_parent() -> None:
    """Standard input is a pipe that the gateway holds: its end is the gateway's end."""
    # not through sys.stdin, whose lock this thread would hold when the interpreter ends
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Timer(3.0, os._exit, (EXIT_ENGINE,)).start()
