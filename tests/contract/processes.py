"""Real gateways and workers as processes of their own: start, look inside, stop, kill."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.supervisor import worker_env

T = TypeVar("T")

HOME = Path(__file__).resolve().parents[2]
FLEET = HOME / "adapters.yaml"
EMBEDDED = yaml.safe_load(FLEET.read_text("utf-8"))

PROC = Path("/proc")

# Promised on an idle machine: ready in 10 s, stopped in 5 s. The tests share their machine.
READY_WAIT_S = 60.0
STOP_S, STOP_MARGIN_S = 5.0, 10.0


class Program:
    """A process started by a test. ``log`` is the file of what it wrote to stderr."""

    def __init__(self, folder: Path, name: str, *arguments: str, stdin: int | None = None) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", *arguments],
                cwd=folder,
                env=worker_env(),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.pid = self.process.pid

    def log_text(self) -> str:
        return self.log.read_text("utf-8")

    def line_with(self, word: str) -> str:
        """The first line of stdout that holds ``word``."""
        deadline_s = time.monotonic() + READY_WAIT_S
        assert self.process.stdout is not None
        seen = b""
        while time.monotonic() < deadline_s:
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                got = os.read(self.process.stdout.fileno(), 65536)
                assert got, f"it ended before '{word}':\n{self.log_text()}"
                seen += got
            for line in seen.decode().splitlines()[: seen.count(b"\n")]:
                if word in line:
                    return line
        raise AssertionError(f"no '{word}' within {READY_WAIT_S} s:\n{self.log_text()}")

    def stop(self, number: int = signal.SIGINT) -> float:
        """Signal it, wait for its end; the seconds that took."""
        begun_s = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_S + STOP_MARGIN_S)
        finally:
            self.end()
        return time.monotonic() - begun_s

    def end(self) -> None:
        """Whatever state it is in: gone and closed afterwards."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class GatewayProcess(Program):
    """``python -m gateway serve`` on a free port, ready."""

    def __init__(self, folder: Path, fleet: Path = FLEET) -> None:
        super().__init__(
            *(folder, "gateway", "gateway", "serve", "--config", str(fleet), "--port", "0"),
            *("--state", str(folder / "state")),
        )
        try:
            self.url = self.line_with(" ready on ").split(" ready on ")[1].split()[0]
        except BaseException:
            self.end()
            raise

    def workers(self) -> dict[str, int]:
        """Pid of the worker of each base that runs now."""
        found: dict[str, int] = {}
        for pid, parent, command in processes():
            if parent == self.pid and "--base" in command:
                found[command[command.index("--base") + 1]] = pid
        return found

    def stop_checked(self) -> float:
        """SIGINT; it exits with 0 in time and leaves no worker behind."""
        workers = self.workers()
        took_s = self.stop()
        assert self.process.returncode == 0, self.log_text()
        assert [pid for pid in workers.values() if is_alive(pid)] == []
        return took_s


class WorkerProcess(Program):
    """``python -m worker`` for one base on a Unix socket, ready."""

    def __init__(self, folder: Path, fleet: Path, base: str) -> None:
        self.uds = folder / f"{base}.sock"
        super().__init__(
            *(folder, base, "worker", "--config", str(fleet), "--base", base),
            *("--uds", str(self.uds), "--exit-with-parent"),
            stdin=subprocess.PIPE,
        )
        try:
            wait_for(self._is_ready, READY_WAIT_S)
        except BaseException:
            self.end()
            raise

    def client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.uds))
        return httpx.Client(transport=transport, base_url="http://worker", timeout=120)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log_text()
        # httpcore 1.0 leaves the socket open where a Unix connect fails: ask without it first
        with socket.socket(socket.AF_UNIX) as connection:
            if connection.connect_ex(str(self.uds)):
                return False
        with self.client() as client:
            return client.get("/health").status_code == 200


def wait_for(look: Callable[[], T], most_s: float = 30.0) -> T:
    """What ``look`` gives, once it is true; for states that can only be polled."""
    deadline_s = time.monotonic() + most_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline_s, f"not so within {most_s} s: {look}"
        time.sleep(0.02)


def processes() -> list[tuple[int, int, list[str]]]:
    """(pid, parent, command) of every process that runs; zombies are none."""
    if sys.platform == "linux":
        return list(_processes_of_linux())
    found: list[tuple[int, int, list[str]]] = []
    for line in _ps("-axww", "-o", "pid=,ppid=,stat=,args=").splitlines():
        pid, parent, state, *command = line.split()
        if not state.startswith("Z"):
            found.append((int(pid), int(parent), command))
    return found


def is_alive(pid: int) -> bool:
    return any(pid == found for found, _, _ in processes())


def rss_bytes(pid: int) -> int:
    if sys.platform == "linux":
        status = (PROC / str(pid) / "status").read_text("utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024
    return int(_ps("-o", "rss=", "-p", str(pid))) * 1024


def _processes_of_linux() -> Iterator[tuple[int, int, list[str]]]:
    # not by ps: small images lack it
    for folder in PROC.glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            state, parent = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            yield int(folder.name), int(parent), command.split("\0")


def _ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=True).stdout


class Metrics:
    """One reading of ``/metrics``."""

    def __init__(self, text: str) -> None:
        self.families = {f.name: f for f in text_string_to_metric_families(text)}
        self._samples = [s for f in self.families.values() for s in f.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum over all series of that sample name with those labels."""
        wanted = labels.items()
        return sum(s.value for s in self._samples if s.name == name and wanted <= s.labels.items())


def read_metrics(client: httpx.Client) -> Metrics:
    return Metrics(client.get("/metrics").raise_for_status().text)


def endless_fleet(folder: Path, **max_rows: int) -> Path:
    """The embedded fleet's bases in ``max_rows``, whose answers never end by themselves.

    The same weights, but with an end token that no model emits: a stream then lasts until
    its ``max_tokens``, whatever the weights have learnt to say.
    """
    fleet: dict[str, Any] = deepcopy(EMBEDDED)
    fleet["bases"] = {name: fleet["bases"][name] for name in max_rows}
    fleet["default_base"] = next(iter(max_rows))
    for name, base in fleet["bases"].items():
        model = folder / f"model-{name}"
        shutil.copytree(HOME / base["model"], model)
        _edit(model / "generation_config.json", eos_token_id=10**6)
        # mlx-lm adds the tokenizer's own end token to any others
        _edit(model / "tokenizer_config.json", eos_token=None)
        base |= {"model": str(model), "max_rows": max_rows[name]}
    fleet["adapters"] = {
        name: adapter | {"source": str(HOME / adapter["source"])}
        for name, adapter in fleet["adapters"].items()
        if adapter["base"] in max_rows
    }
    for domain in fleet["domains"].values():
        domain["examples"] = str(HOME / domain["examples"])
    file = folder / "adapters.yaml"
    file.write_text(yaml.safe_dump(fleet, sort_keys=False), "utf-8")
    return file


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | changes), "utf-8")
