"""Starts the servers that are measured, waits until they answer, and ends them.

Each runs as a user would run it, on a free port of loopback, with its output in a file.
Only processes started here are ended here, by their own handle.
"""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from pathlib import Path

from bench.models import REPOSITORY, BenchModel

READY_S = 120.0
TERM_TO_KILL_S = 10.0


@contextlib.contextmanager
def worker(model: BenchModel, fleet: Path, logs: Path) -> Generator[str]:
    """``python -m worker`` over one of the model's fleet files; its URL."""
    port = _free_port()
    arguments = ["worker", "--config", str(fleet), "--base", model.base, "--port", str(port)]
    with _server(arguments, port, "/health", logs / f"worker-{fleet.stem}.log") as url:
        yield url


@contextlib.contextmanager
def gateway(model: BenchModel, logs: Path) -> Generator[str]:
    """``ailiance serve`` over the model's fleet file, with its own worker; its URL."""
    port = _free_port()
    # chats are measured, which are never stored: nothing goes to the user's own folder
    arguments = ["gateway", "serve", "--config", str(model.full), "--port", str(port), "--no-store"]
    with _server(arguments, port, "/health", logs / "gateway.log") as url:
        yield url


@contextlib.contextmanager
def mlx_lm_server(model: BenchModel, logs: Path) -> Generator[str]:
    """mlx_lm.server over the same model, with the same BLAS; its URL."""
    port = _free_port()
    arguments = ["bench.peer", "--model", str(model.model), "--port", str(port)]
    arguments += ["--log-level", "WARNING"]
    with _server(arguments, port, "/health", logs / "mlx_lm.log") as url:
        yield url


@contextlib.contextmanager
def _server(module: Sequence[str], port: int, probe: str, log: Path) -> Generator[str]:
    url = f"http://127.0.0.1:{port}"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_ready(process, url + probe, log)
        yield url
    finally:
        _end(process)


def _await_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    limit = time.monotonic() + READY_S
    while time.monotonic() < limit:
        if process.poll() is not None:
            break
        # not ready may be a refused connection or a 503
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
    raise RuntimeError(f"not ready: {url}; the end of {log}:\n{tail}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(TERM_TO_KILL_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
