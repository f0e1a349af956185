"""The command line as a user meets it: processes, exit codes, one clear line a fault."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fleet.load import load_fleet
from gateway.cli import state_folder
from gateway.routers import unrouted
from gateway.supervisor import worker_env

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENV = worker_env()

MINIMAL = """\
version: 1
bases:
  apertus: {model: model}
adapters:
  electronics: {base: apertus, source: adapter}
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("model", "adapter"):
        (tmp_path / name).mkdir()
    (tmp_path / "adapters.yaml").write_text(MINIMAL)
    return tmp_path


def ailiance(*arguments, cwd):
    command = [sys.executable, "-P", "-m", "gateway", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=ENV, capture_output=True, text=True, timeout=60, check=False
    )


def check_fault(done, code, *words):
    assert done.returncode == code
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("ailiance: ")
    for word in words:
        assert word in lines[0]


def test_version_and_help(tmp_path):
    assert re.fullmatch(r"ailiance \d+\.\d+\.\d+\n", ailiance("--version", cwd=tmp_path).stdout)
    text = ailiance("--help", cwd=tmp_path).stdout
    for word in ("serve", "worker", "route", "adapters.yaml"):
        assert word in text


def test_no_command_is_a_usage_error(tmp_path):
    assert ailiance(cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL + "typo: 1\n", ["adapters.yaml:6", "unknown key 'typo'"]),
        (MINIMAL + "  electronics: {base: apertus, source: adapter}\n", ["stands twice"]),
        (MINIMAL.replace("source: adapter", "source: nowhere"), ["no file or folder", "nowhere"]),
        ("bases: [", ["not valid YAML"]),
    ],
)
def test_broken_fleet_file(folder, text, words):
    (folder / "adapters.yaml").write_text(text)
    check_fault(ailiance("serve", cwd=folder), 78, *words)


def test_missing_fleet_file(tmp_path):
    check_fault(ailiance("serve", "--config", "no.yaml", cwd=tmp_path), 78, "no such file")


def test_missing_router_weights(folder):
    (folder / "adapters.yaml").write_text(MINIMAL + "router: weights.npz\n")
    check_fault(ailiance("serve", cwd=folder), 78, "weights.npz")


def test_port_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ailiance("serve", "--port", port, cwd=folder)
    check_fault(done, 2, port, "--port")


def test_without_a_home_there_is_a_mend():
    """A container's user may have none; that was a traceback."""

    def home():
        raise RuntimeError

    with pytest.raises(Exception, match="--state DIR or --no-store"):
        state_folder("", home)
    assert state_folder("/var/lib", home) == Path("/var/lib/ailiance")
    assert state_folder("relative", lambda: Path("/me")) == Path("/me/.local/state/ailiance")


class Serving:
    """``serve`` with fake workers in a process of its own."""

    def __init__(self, folder: Path, *worker_arguments: str) -> None:
        config = str(folder / "adapters.yaml")
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "serve_fake.py"), config, *worker_arguments],
            cwd=folder,
            # a gateway killed with SIGKILL leaves its socket folder behind
            env=ENV | {"TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def url(self) -> str:
        # the ready line, the models, "try:", and two lines of curl
        self.ready = "".join(self.process.stdout.readline() for _ in range(5))
        return re.search(r"http://\S+", self.ready).group()

    def end(self, number: int | None = None) -> tuple[int, str]:
        if number is not None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=10)
        return self.process.returncode, err


def get(url, body=None):
    data = json.dumps(body).encode() if body else None
    return urllib.request.urlopen(urllib.request.Request(url, data), timeout=10)


def get_when_ready(url, body):
    """What a patient client does: obeys retry-after-ms on 503; gives up after 10 s."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with get(url, body) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 503:
                    raise
                wait_s = float(error.headers["retry-after-ms"]) / 1000
        time.sleep(min(wait_s, 0.5))
    raise TimeoutError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_from_ready_line_to_signal(folder, number):
    with Serving(folder) as serving:
        url = serving.url()
        with get(url + "/health") as answer:
            assert json.load(answer)["bases"] == {"apertus": "ready"}
        body = {"messages": [{"role": "user", "content": json.dumps({"hold_at": 1})}]}
        body |= {"model": "ailiance-apertus-electronics", "stream": True}
        with get(url + "/v1/chat/completions", body) as stream:
            assert b'"electronics"' in stream.readline()
            code, err = serving.end(number)
            rest = stream.read()
        assert code == 0
        assert b'"worker_unavailable"' in rest.splitlines()[-2]
        assert "ailiance-apertus-electronics" in serving.ready
        assert f"curl -s {url}/v1/chat/completions" in serving.ready
        assert "[apertus] fake worker of apertus up" in err
        assert "Traceback" not in err


def test_worker_that_can_not_be_configured_ends_serve(folder):
    with Serving(folder, "--exit-code", "78") as serving:
        code, err = serving.end()
    assert code == 78
    last = err.splitlines()[-1]
    assert last == "ailiance: base 'apertus' can't start: adapter 'x': wrong shapes; retrain it"
    assert "Traceback" not in err


def test_worker_killed_in_the_middle_of_an_answer_and_back(folder):
    with Serving(folder) as serving:
        url = serving.url() + "/v1/chat/completions"
        body = {"model": "ailiance-apertus", "stream": True}
        body["messages"] = [{"role": "user", "content": json.dumps({"die_at": 1})}]
        with get(url, body) as stream:
            lines = [line for line in stream.read().splitlines() if line]
        assert b"[DONE]" not in lines[-1]
        assert b'"upstream_failed"' in lines[-1]
        body = {"model": "ailiance-apertus", "messages": [{"role": "user", "content": "hi"}]}
        assert get_when_ready(url, body)["model"] == "ailiance-apertus"
        with get(url.replace("/v1/chat/completions", "/metrics")) as answer:
            assert b'ailiance_worker_restarts_total{base="apertus"} 1.0' in answer.read()
        assert serving.end(signal.SIGINT)[0] == 0


def test_no_worker_outlives_a_gateway_that_is_killed(folder):
    with Serving(folder) as serving:
        serving.url()
        children = Path(f"/proc/{serving.process.pid}/task/{serving.process.pid}/children")
        if not children.exists():
            pytest.skip("needs /proc")
        (worker,) = (int(pid) for pid in children.read_text().split())
        # a pidfd becomes readable when its process ends
        watch = os.pidfd_open(worker)
        serving.end(signal.SIGKILL)
        ended, _, _ = select.select([watch], [], [], 10)
        os.close(watch)
        assert ended


def test_a_domain_the_router_does_not_know_is_found_at_start():
    fleet = load_fleet(ROOT / "adapters.yaml")
    known = [domain for domain in fleet.domains if domain not in ("emc", "cpp")]
    assert unrouted(fleet, known) == ["emc", "cpp"]


def test_a_reader_that_goes_is_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "route", "my buck converter rings"],
            cwd=ROOT,
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")
