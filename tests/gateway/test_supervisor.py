"""The supervisor with real processes of the fake worker."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from gateway.supervisor import Supervisor, WorkerCommand, worker_env
from gateway.upstream import Upstream

FAKE = str(Path(__file__).with_name("fake_worker.py"))


class Watched(Supervisor):
    """A supervisor that keeps what it told: phases, restarts, lines."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.phases: list[str] = []
        self.restarts: list[str] = []
        self.lines: list[str] = []
        uds = folder / "w.sock"
        argv = (sys.executable, FAKE, "--uds", str(uds), *arguments)
        super().__init__(
            WorkerCommand("apertus", argv, uds, worker_env()),
            on_phase=lambda _, phase: self.phases.append(phase),
            on_restart=self.restarts.append,
            write_line=self.lines.append,
        )
        self.upstream = Upstream("apertus", uds=str(uds), unavailable=self.unavailable)

    async def until(self, *phases: str) -> None:
        while self.state.phase not in phases:
            self._changed.clear()
            await self._changed.wait()


def run(test, *arguments, folder):
    async def body():
        watched = Watched(folder, *arguments)
        task = asyncio.create_task(watched.run())
        try:
            async with asyncio.timeout(30):
                await test(watched, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await watched.upstream.aclose()
        return watched

    return asyncio.run(body())


def test_killed_worker_is_started_again(tmp_path):
    async def test(watched, _):
        error = watched.unavailable()
        assert error is not None
        assert error.headers()["retry-after"] == "5"
        assert await watched.settled() == "ready"
        assert watched.unavailable() is None
        first = watched.pid
        os.kill(first, signal.SIGKILL)
        await watched.until("restarting")
        error = watched.unavailable()
        assert error.code == "worker_unavailable"
        assert error.retry_after_s >= 0.5
        await watched.until("ready")
        assert watched.pid != first

    watched = run(test, folder=tmp_path)
    assert watched.restarts == ["apertus"]
    assert watched.phases == [
        "starting",
        "ready",
        "restarting",
        "restarting",
        "ready",
        "stopped",
    ]
    assert watched.lines[0] == "[apertus] fake worker of apertus up"
    assert any("worker exited (SIGKILL); starting again in 0.2 s" in x for x in watched.lines)


def test_configuration_error_is_final_and_shown(tmp_path):
    async def test(watched, task):
        assert await watched.settled() == "failed"
        await task

    watched = run(test, "--exit-code", "78", folder=tmp_path)
    assert watched.restarts == []
    assert watched.last_line == "adapter 'x': wrong shapes; retrain it"
    assert watched.lines == ["[apertus] adapter 'x': wrong shapes; retrain it"]
    assert "can't start" in watched.unavailable().message


def test_any_other_exit_is_tried_again(tmp_path):
    async def test(watched, _):
        await watched.until("restarting")
        await asyncio.wait_for(_restarted(watched), 10)

    assert run(test, "--exit-code", "1", folder=tmp_path).restarts


async def _restarted(watched):
    while not watched.restarts:
        watched._changed.clear()
        await watched._changed.wait()


@pytest.mark.parametrize("deaf", [False, True])
def test_stopping_ends_the_process(tmp_path, deaf, monkeypatch):
    # deaf: stopped by SIGSTOP, a process does not see SIGTERM and must be killed
    monkeypatch.setattr("gateway.supervisor.TERM_TO_KILL_S", 0.2 if deaf else 10)
    pids = []

    async def test(watched, _):
        await watched.settled()
        pids.append(watched.pid)
        if deaf:
            os.kill(watched.pid, signal.SIGSTOP)

    run(test, folder=tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_worker_that_cannot_be_spawned_is_tried_again(tmp_path):
    """A failed spawn once ended the supervisor, and serve called itself ready."""

    async def body():
        said = []
        command = WorkerCommand("apertus", (str(tmp_path / "none"),), tmp_path / "w.sock", {})
        supervisor = Supervisor(
            command, on_phase=lambda *_: None, on_restart=lambda _: None, write_line=said.append
        )
        task = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(30):
            while supervisor.state.exits_in_row < 2:
                supervisor._changed.clear()
                await supervisor._changed.wait()
        assert supervisor.state.phase == "restarting"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return said

    assert any("can't start the worker" in line for line in asyncio.run(body()))
