"""The real gateway, and Debian's Prometheus scraping it, as processes of a test."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from tests.docker.panels import ROOT

T = TypeVar("T")
POLL_S = 0.1


def wait_for(what: str, probe: Callable[[], T | None], timeout_s: float) -> T:
    """Polls until ``probe`` gives something; fails with its name after ``timeout_s``."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        found = probe()
        if found is not None:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"after {timeout_s} s still waiting for {what}")


@contextlib.contextmanager
def running(argv: list[str], log: Path, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours; SIGTERM at the end, SIGKILL after 10 s. On a fault its log is shown."""
    # our own folders stay on the path of the gateway's workers: no wheel is installed
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    except BaseException:
        print(f"--- {log}\n{log.read_text(errors='replace')[-4000:]}")
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[str]:
    """The URL of a gateway that may still be starting."""
    log, port = folder / "gateway.log", free_port()
    argv = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    argv += ["--config", str(ROOT / "adapters.yaml"), "--state", str(folder / "state")]
    with running(argv, log, ROOT):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def prometheus(binary: str, folder: Path, scraped: str) -> Iterator[str]:
    """The URL of a Prometheus with our rules and its own storage, scraping each second."""
    config = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "docker/prometheus/alerts.yml")]
    [job] = config["scrape_configs"]
    job["scrape_timeout"] = "1s"
    job["static_configs"][0]["targets"] = [scraped.removeprefix("http://")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    listen = f"127.0.0.1:{free_port()}"
    argv = [binary, "--config.file=prometheus.yml", f"--web.listen-address={listen}"]
    argv += [f"--storage.tsdb.path={folder / 'data'}"]
    with running(argv, folder / "prometheus.log", folder):
        yield f"http://{listen}"


def free_port() -> int:
    """One that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def ready(url: str) -> bool | None:
    """True when ``url`` answers 200; None while it doesn't."""
    try:
        return httpx.get(url, timeout=5).status_code == 200 or None
    except httpx.TransportError:
        return None


def query(prometheus_url: str, expression: str) -> list[dict[str, Any]]:
    """The instant vector of a PromQL expression; raises on an error of the expression."""
    answer = httpx.get(f"{prometheus_url}/api/v1/query", params={"query": expression}, timeout=5)
    body = answer.json()
    assert body["status"] == "success", f"{body.get('error')}: {expression}"
    return body["data"]["result"]


def documented_metrics(text: str) -> set[str]:
    """The names in the tables of docs/operations.md."""
    return set(re.findall(r"^\| `((?:gen_ai_|vllm:|ailiance_)\w+)`", text, re.MULTILINE))
