"""Many streams over all aliases at once, a third abandoned: no error, no leak, level memory."""

import asyncio
import json
from dataclasses import dataclass, field

import httpx
import pytest

from tests.contract.processes import read_metrics, rss_bytes, wait_for

WHOLE, ABANDONED = 16, 600  # tokens asked for by those who stay, and by those who leave
MEMORY_SLACK_BYTES = 16 << 20  # freed memory that the allocator keeps goes up and down by this


@dataclass
class Round:
    """What one round of streams saw."""

    finished: int = 0
    abandoned: int = 0
    faults: list[str] = field(default_factory=list)


async def stream(client, seen, model, number, leave_after):
    """One streamed request, read to its end or left after so many chunks."""
    question = f"Question {number}: what matters most here?"
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": WHOLE if leave_after is None else ABANDONED,
        "temperature": 0,
        "stream": True,
    }
    events = []
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            seen.faults.append(f"{model}: status {response.status_code}")
            return
        async for line in response.aiter_lines():
            events += [line.removeprefix("data: ")] if line.startswith("data: ") else []
            if leave_after is not None and len(events) >= leave_after:
                seen.abandoned += 1
                return
    check_whole(seen, model, events)


def check_whole(seen, model, events):
    errors = [event for event in events if '"error"' in event]
    reasons = [
        choice["finish_reason"]
        for event in events
        if event.startswith("{") and event not in errors
        for choice in json.loads(event)["choices"]
        if choice["finish_reason"]
    ]
    if errors or events.count("[DONE]") != 1 or events[-1] != "[DONE]" or reasons != ["length"]:
        seen.faults.append(f"{model}: {reasons}, ended {events[-1:]}, errors {errors}")
    seen.finished += 1


async def play(url, names, count, queued):
    """``count`` streams over all names, each third left half-way; then ``queued`` that only
    see that they were taken on."""
    seen = Round()
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(count):
            leave_after = 2 + number % 5 if number % 3 == 2 else None
            name = names[number % len(names)]
            group.create_task(stream(client, seen, name, number, leave_after))
        for number in range(queued):
            # the first event says that it was taken on; its row is still far away
            group.create_task(stream(client, seen, "ailiance-apertus-spice", count + number, 1))
    return seen


def check_round(gateway, http, count, queued):
    names = [model["id"] for model in http.get("/v1/models").json()["data"]]
    before = read_metrics(http)
    seen = asyncio.run(play(gateway.url, names, count, queued))
    assert seen.faults == []
    assert (seen.finished, seen.abandoned) == (count - count // 3, count // 3 + queued)

    def gauge(name):
        return read_metrics(http).sum(f"vllm:{name}")

    wait_for(lambda: gauge("num_requests_running") == gauge("num_requests_waiting") == 0)
    after = read_metrics(http)

    def grown(name, **labels):
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert gauge("kv_cache_usage_perc") == 0
    assert grown("ailiance_cancelled_total") == seen.abandoned
    assert grown("ailiance_cancelled_total", stage="waiting") > 0
    assert grown("ailiance_adapter_requests_total", status="length") == seen.finished
    assert grown("ailiance_adapter_requests_total", status="error") == 0
    assert grown("ailiance_worker_restarts_total") == 0
    assert after.sum("ailiance_batch_distinct_adapters_bucket", le="1.0", base="apertus") < (
        after.sum("ailiance_batch_distinct_adapters_count", base="apertus")
    )
    of_gateway = {"gateway": rss_bytes(gateway.pid)}
    return of_gateway | {base: rss_bytes(pid) for base, pid in gateway.workers().items()}


def check_level(rounds):
    """The last round against the second: the first one fills the store of prefixes."""
    for name, level in rounds[1].items():
        assert rounds[-1][name] <= level * 1.1 + MEMORY_SLACK_BYTES, (name, rounds)


def test_200_streams(gateway, http):
    check_level([check_round(gateway, http, 200, 12) for _ in range(3)])


@pytest.mark.soak
def test_200_streams_again_and_again(gateway, http):
    check_level([check_round(gateway, http, 200, 12) for _ in range(10)])
