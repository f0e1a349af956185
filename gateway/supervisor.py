"""Starts, watches and restarts the worker process of one base. The rules: worker_state.

A worker is told to exit when its stdin closes: the gateway holds the other end, so that
no worker outlives a gateway that was killed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway import worker_state
from gateway.clock import now_s
from gateway.upstream import Upstream
from gateway.worker_state import Phase, WorkerState
from wire.errors import AilianceError, WorkerUnavailable

POLL_S = 0.1
TERM_TO_KILL_S = 3.0
EXIT_SPAWN = 71  # sysexits.h EX_OSERR: the system could not start the process
LINE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """What to run for one base, and the socket that it will serve."""

    base: str
    argv: tuple[str, ...]
    uds: Path
    env: dict[str, str]


class Supervisor:
    """Owns one worker process. ``run`` until cancelled; everything else only looks."""

    def __init__(
        self,
        command: WorkerCommand,
        *,
        on_phase: Callable[[str, Phase], None],
        on_restart: Callable[[str], None],
        write_line: Callable[[str], None],
    ) -> None:
        self._command = command
        self._on_phase = on_phase
        self._on_restart = on_restart
        self._write_line = write_line
        self._changed = asyncio.Event()
        self.state = WorkerState(spawned_at_s=now_s())
        self.last_line = ""
        self.pid: int | None = None
        self.uds = command.uds
        self.upstream: Upstream | None = None
        self.prepare: Callable[[], Awaitable[None]] | None = None
        """What a worker that is healthy needs before it is called ready."""

    @property
    def base(self) -> str:
        return self._command.base

    def unavailable(self) -> WorkerUnavailable | None:
        """The error for a request that comes now; None when the worker is ready."""
        state = self.state
        if state.phase == "ready":
            return None
        what = {
            "starting": "is starting",
            "restarting": "is restarting",
            "failed": "can't start; see the gateway's log",
            "stopped": "is shutting down",
        }[state.phase]
        wait_s = worker_state.retry_after_s(state, now_s())
        return WorkerUnavailable(f"the worker of base '{self.base}' {what}", retry_after_s=wait_s)

    async def settled(self) -> Phase:
        """Waits until the worker is ready, or never will be."""
        while self.state.phase not in ("ready", "failed", "stopped"):
            self._changed.clear()
            await self._changed.wait()
        return self.state.phase

    async def run(self) -> None:
        """Keep one worker running; returns only when it can't be configured."""
        try:
            while True:
                code = await self._live_once()
                self._set(worker_state.on_exit(self.state, code, now_s()))
                if self.state.phase == "failed":
                    return
                wait_s = self.state.restart_at_s - now_s()
                self._say(f"worker exited ({_name(code)}); starting again in {wait_s:.1f} s")
                await asyncio.sleep(wait_s)
                self._on_restart(self.base)
        finally:
            if self.state.phase != "failed":
                self._set(worker_state.on_stop(self.state))

    async def _live_once(self) -> int:
        try:
            process = await self._spawn()
        except OSError as error:
            # no memory or processes left, perhaps for a while: an exit like another
            self._say(f"can't start the worker: {error}")
            return EXIT_SPAWN
        self.pid = process.pid
        self._set(worker_state.on_spawn(self.state, now_s()))
        lines = asyncio.create_task(self._pass_lines(process))
        health = asyncio.create_task(self._await_health())
        try:
            return await process.wait()
        finally:
            health.cancel()
            await _end(process)
            self.pid = None
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await lines

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._command.uds.unlink(missing_ok=True)
        return await asyncio.create_subprocess_exec(
            *self._command.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES,
            env=self._command.env,
            # Ctrl-C reaches the whole foreground group: workers end by our order, not at once
            start_new_session=True,
        )

    async def _await_health(self) -> None:
        assert self.upstream is not None
        while True:
            answer = await self.upstream.probe("/health")
            if answer is not None and answer.status_code == 200 and await self._prepared():
                self._set(worker_state.on_healthy(self.state, now_s()))
                return
            await asyncio.sleep(POLL_S)

    async def _prepared(self) -> bool:
        if self.prepare is None:
            return True
        try:
            await self.prepare()
        except AilianceError as error:
            # mostly the worker has gone meanwhile; if it has not, it is asked again
            self._say(f"not ready: {error}")
            return False
        return True

    async def _pass_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                raw = await process.stdout.readuntil()
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    self._say(error.partial.decode("utf-8", "replace").rstrip())
                return
            except asyncio.LimitOverrunError as error:
                raw = await process.stdout.readexactly(error.consumed)
            self._say(raw.decode("utf-8", "replace").rstrip())

    def _say(self, line: str) -> None:
        if line.strip():
            self.last_line = line.strip()
        self._write_line(f"[{self.base}] {line}")

    def _set(self, state: WorkerState) -> None:
        self.state = state
        self._on_phase(self.base, state.phase)
        self._changed.set()


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL after 3 s; returns when the process is gone."""
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(TERM_TO_KILL_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def worker_argv(*arguments: str) -> tuple[str, ...]:
    """The command line of a worker. ``-P``: a folder named worker/ here must not shadow it."""
    return (sys.executable, "-P", "-m", "worker", *arguments)


def worker_env(workers: int = 1) -> dict[str, str]:
    """This process's environment; from a checkout, with the checkout on the path.

    ``workers`` of one gateway share the cores: with more OpenBLAS threads than cores, threads
    that wait for each other made steps three times slower on two busy cores. A value that
    the operator set stands.
    """
    env = dict(os.environ)
    env.setdefault("OPENBLAS_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    home = Path(__file__).resolve().parent.parent
    if home.name not in ("site-packages", "dist-packages"):
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home), env.get("PYTHONPATH")]))
    return env
