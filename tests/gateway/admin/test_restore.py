"""Workers as processes: run-time adapters are there again before a worker is called ready."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway.admin.administration import Administration
from gateway.admin.kept import Kept
from gateway.admin.runtime import RuntimeAdapter
from gateway.service import Gateway
from gateway.supervisor import Supervisor, WorkerCommand, worker_env
from gateway.upstream import Upstream
from tests.gateway.harness import WordRouter, make_fleet

FAKE = str(Path(__file__).parents[1] / "fake_worker.py")


class One:
    """A gateway with one supervised fake worker, and what was loaded before."""

    def __init__(self, folder: Path, *sources: str) -> None:
        self.folder = folder
        self.fleet = make_fleet().model_copy(update={"folder": folder})
        self.kept = Kept(folder / "state", folder / "adapters.yaml")
        self.kept.write(
            RuntimeAdapter(f"a{n}", "apertus", str(folder / source))
            for n, source in enumerate(sources)
        )
        self.lines: list[str] = []

    def run(self, test) -> None:
        async def body() -> None:
            uds = self.folder / "w.sock"
            command = WorkerCommand(
                "apertus", (sys.executable, FAKE, "--uds", str(uds)), uds, worker_env()
            )
            self.supervisor = Supervisor(
                command,
                on_phase=lambda *_: None,
                on_restart=lambda _: None,
                write_line=self.lines.append,
            )
            ours = Upstream("apertus", uds=str(uds), unavailable=self.supervisor.unavailable)
            direct = Upstream("apertus", uds=str(uds))
            self.supervisor.upstream = ours
            self.gateway = Gateway(self.fleet, WordRouter(), {"apertus": ours})
            self.admin = Administration(self.gateway, self.kept, grace_s=0)
            self.supervisor.prepare = lambda: self.admin.restore("apertus", direct)
            running = asyncio.create_task(self.supervisor.run())
            try:
                async with asyncio.timeout(60):
                    await test(self)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await direct.aclose()
                await self.gateway.aclose()

        asyncio.run(body())

    async def resident(self) -> list[str]:
        answer = await self.gateway.upstreams["apertus"].probe("/v1/adapters")
        assert answer is not None
        return [each["name"] for each in answer.json()["data"]]


def test_a_killed_worker_has_them_again_once_it_is_ready(tmp_path):
    async def test(one):
        assert await one.supervisor.settled() == "ready"
        assert await one.resident() == ["a0", "a1"]
        os.kill(one.supervisor.pid, signal.SIGKILL)
        while one.supervisor.state.phase == "ready":
            one.supervisor._changed.clear()
            await one.supervisor._changed.wait()
        assert await one.supervisor.settled() == "ready"
        assert await one.resident() == ["a0", "a1"]

    One(tmp_path, "x", "y").run(test)


def test_one_that_ends_its_worker_is_given_up_and_the_others_are_served(tmp_path):
    async def test(one):
        assert await one.supervisor.settled() == "ready"
        assert await one.resident() == ["a0", "a2"]
        assert "2 workers ended" in one.admin.left_out["a1"]
        assert set(one.gateway.fleet.adapters) >= {"a0", "a2"}

    One(tmp_path, "x", "deadly", "y").run(test)
