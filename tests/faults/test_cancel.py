"""A client that goes away frees its row at once, wherever its request is.

Measured in the worker's own steps. "Within two steps" is the engine's promise once it knows;
until then the news travels over one socket (two behind a gateway), while tokens go on.
"""

import json
import socket
from contextlib import ExitStack

import httpx
import pytest

from tests.contract.processes import WorkerProcess, read_metrics, wait_for

BASE = "devstral"
ENDLESS = 1500  # tokens: minutes on a busy machine; a step is 3 to 30 ms
STEPS = 2 + 40  # the engine's two, and the way there: 40 steps are 0.1 s at the very least


class Target:
    """A gateway or a worker, and what it calls its models."""

    def __init__(self, client, prefix, address):
        self.client, self.prefix, self.address = client, prefix, address

    def send(self, adapter, *, stream, **fields):
        """A request sent over a socket of its own; closing that is going away."""
        message = {"role": "user", "content": "How do I read a file?"}
        body = {"model": self.prefix + adapter, "messages": [message], "stream": stream}
        body |= {"max_tokens": ENDLESS, "temperature": 1.5} | fields
        content = json.dumps(body).encode()
        kind = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        connection = socket.socket(kind)
        connection.settimeout(60)
        connection.connect(self.address)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + content)
        return connection

    def metrics(self):
        return read_metrics(self.client)

    def running(self):
        return self.metrics().sum("vllm:num_requests_running", model_name=BASE)

    def waiting(self):
        return self.metrics().sum("vllm:num_requests_waiting", model_name=BASE)

    def steps(self):
        return self.metrics().sum("ailiance_batch_rows_count", base=BASE)

    def cancelled(self, **labels):
        return self.metrics().sum("ailiance_cancelled_total", base=BASE, **labels)

    def generated(self, adapter):
        return self.metrics().sum(
            "ailiance_adapter_tokens_total", adapter=adapter, kind="generated"
        )

    def idle(self):
        metrics = self.metrics()
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting")
        return not any(metrics.sum(name, model_name=BASE) for name in names)


@pytest.fixture(scope="module")
def worker(tmp_path_factory, fleet):
    process = WorkerProcess(tmp_path_factory.mktemp("worker"), fleet, BASE)
    yield process
    process.end()


@pytest.fixture(params=["gateway", "worker"])
def target(request):
    process = request.getfixturevalue(request.param)
    if request.param == "worker":
        client, prefix, address = process.client(), "", str(process.uds)
    else:
        client = httpx.Client(base_url=process.url, timeout=120)
        prefix = f"ailiance-{BASE}-"
        address = ("127.0.0.1", int(process.url.rpartition(":")[2]))
    with client:
        found = Target(client, prefix, address)
        assert wait_for(found.idle)
        yield found
        assert wait_for(found.idle)


def read_chunks(connection, count):
    seen = b""
    while seen.count(b"data: {") < count:
        got = connection.recv(65536)
        assert got
        seen += got


def test_while_streaming(target):
    before = target.cancelled(stage="decode")
    with target.send("python", stream=True) as connection:
        read_chunks(connection, 5)
        steps = target.steps()
    wait_for(lambda: target.cancelled(stage="decode") == before + 1)
    more = target.steps() - steps
    print(f"{more:.0f} steps after the last look before going away")
    assert more <= STEPS


def test_waiting_for_a_plain_answer(target):
    before, steps = target.cancelled(stage="decode"), target.steps()
    with target.send("python", stream=False):
        wait_for(lambda: target.steps() > steps + 5)
        steps = target.steps()
    wait_for(lambda: target.cancelled(stage="decode") == before + 1)
    more = target.steps() - steps
    print(f"{more:.0f} steps after the last look before going away")
    assert more <= STEPS


@pytest.mark.parametrize("stream", [True, False])
def test_queued(target, stream):
    before, generated = target.cancelled(stage="waiting"), target.generated("cpp")
    with ExitStack() as others:
        for _ in range(2):  # all rows of this base
            others.enter_context(target.send("python", stream=True))
        wait_for(lambda: target.running() == 2)
        with target.send("cpp", stream=stream):
            wait_for(lambda: target.waiting() == 1)
        wait_for(lambda: target.cancelled(stage="waiting") == before + 1)
        assert (target.running(), target.waiting()) == (2, 0)
    assert wait_for(target.idle)
    assert target.generated("cpp") == generated


def test_gone_at_once_with_a_long_prompt(target):
    """Somewhere on the way, in the queue or in prefill: it must not be answered."""
    generated = target.generated("cpp")
    long = [{"role": "user", "content": "int main " * 300}]
    for stream in (True, False, True, False):
        target.send("cpp", stream=stream, messages=long, max_tokens=200).close()
    # first in, first out: what comes after them has its answer when they are done with
    with target.send("python", stream=False, max_tokens=1) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert wait_for(target.idle)
    assert target.generated("cpp") - generated <= 4 * STEPS


def test_a_freed_row_is_used_again(target):
    """More abandoned requests than there are rows, one after another."""
    before = target.cancelled()
    for turn in range(8):
        with target.send("python" if turn % 2 else "cpp", stream=True) as connection:
            read_chunks(connection, 2)
    wait_for(lambda: target.cancelled() == before + 8)
    body = {"model": f"{target.prefix}cpp", "prompt": "int main", "max_tokens": 2}
    answer = target.client.post("/v1/completions", json=body).raise_for_status().json()
    assert answer["usage"]["completion_tokens"] == 2
