"""A gateway of our own for one measurement: on a free port, ended whatever happens."""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gateway.evaluate.errors import EvaluationError
from gateway.supervisor import worker_env

STOP_WAIT_S = 15.0
_READY = re.compile(r" ready on (http://\S+)")


@contextmanager
def own_gateway(config: Path) -> Generator[str]:
    """The URL of a gateway that serves ``config``. Raises EvaluationError with its last line."""
    argv = [sys.executable, "-P", "-m", "gateway", "serve", "--no-store", "--port", "0"]
    # as Ctrl-C: without it we would go and leave the gateway behind
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [*argv, "--config", str(config)],
            env=worker_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Ctrl-C is for us: we end it, and see it end
            start_new_session=True,
        )
        try:
            yield _ready(process, log)
        finally:
            _end(process)
            signal.signal(signal.SIGTERM, before)


def _ready(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:  # ends with the process
        found = _READY.search(line)
        if found:
            return found[1]
    process.wait()
    log.seek(0)
    lines = log.read().split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    raise EvaluationError(last.removeprefix("ailiance: "))


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
