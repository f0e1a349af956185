"""Streams over real sockets: framing, provenance, faults, disconnects, pings, shutdown."""

import asyncio
import json

import pytest

from tests.gateway.harness import Setup, chat, run
from wire.sse import SSEDecoder


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def events_of(raw: bytes):
    return [d if d == "[DONE]" else json.loads(d) for d in SSEDecoder().feed(raw)]


def terminals(events):
    return [e for e in events if e == "[DONE]" or "error" in e]


def stream(setup, script=None, model="ailiance-apertus-electronics", **fields):
    body = chat(model, json.dumps(script or {}), stream=True, **fields)

    async def test(client):
        answer = await client.post("/v1/chat/completions", json=body)
        return answer, events_of(answer.content), (await client.get("/metrics")).text

    return run(setup, test)


def test_stream_is_relayed_under_the_public_name(setup):
    answer, events, metrics = stream(setup, {"tokens": ["a", '"model":"electronics"', "é\n\n"]})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-ailiance-model"] == "ailiance-apertus-electronics"
    assert answer.headers["x-ailiance-adapter-digest"] == "e" * 64
    assert "x-ailiance-overhead-ms" in answer.headers
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert {c["model"] for c in chunks} == {"ailiance-apertus-electronics"}
    assert len({c["id"] for c in chunks}) == 1
    assert chunks[0]["ailiance"]["adapter_digest"] == "e" * 64
    assert chunks[0]["ailiance"]["base_digest"] == "a" * 64
    assert chunks[0]["ailiance"]["reason"] == "explicit"
    assert all("ailiance" not in c for c in chunks[1:])
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
    assert text == 'a"model":"electronics"é\n\n'
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert 'vllm:time_to_first_token_seconds_count{model_name="apertus"} 1.0' in metrics
    assert "gen_ai_server_time_per_output_token_seconds_count" in metrics
    assert 'gen_ai_token_type="output"} 3.0' in metrics


@pytest.mark.parametrize("wanted", [True, False])
def test_usage_chunk_reaches_only_a_client_that_asked(setup, wanted):
    fields = {"stream_options": {"include_usage": True}} if wanted else {}
    _, events, _ = stream(setup, **fields)
    assert [bool(e.get("usage")) for e in events[:-1]].count(True) == int(wanted)
    assert [("usage" in e) for e in events[:-1]] == [wanted] * len(events[:-1])
    assert setup.worker.requests[0]["stream_options"] == {"include_usage": True}


def test_completions_stream(setup):
    async def test(client):
        body = {"model": "ailiance-apertus", "prompt": "hi", "stream": True}
        return events_of((await client.post("/v1/completions", json=body)).content)

    events = run(setup, test)
    assert "".join(e["choices"][0]["text"] for e in events[:-1]) == "Hello world"


def test_silent_upstream_in_a_stream(setup):
    _, events, _ = stream(setup, model="ailiance-big-law")
    assert events[0]["ailiance"]["adapter"] == "law"
    assert {e["model"] for e in events[:-1]} == {"ailiance-big-law"}
    setup.workers["big"].model_in_answer = "org/Other"
    _, events, _ = stream(setup, model="ailiance-big-law")
    assert events[0]["ailiance"]["base"] is None
    assert {e["model"] for e in events[:-1]} == {"org/Other"}


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"end_at": 1}, "upstream_failed"),
        ({"end_at": 0}, "upstream_failed"),
        ({"error_at": 2}, "engine_failed"),
    ],
)
def test_broken_stream_ends_with_one_error_event(setup, script, code):
    answer, events, metrics = stream(setup, script)
    assert answer.status_code == 200
    assert len(terminals(events)) == 1
    assert events[-1]["error"]["code"] == code
    assert set(events[-1]["error"]) == {"message", "type", "param", "code"}
    assert f'error_type="{code}"' in metrics
    assert 'error_type=""' not in metrics


def test_error_before_the_stream_is_a_plain_error(setup):
    answer, _, _ = stream(setup, {"status": 400})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"


def test_client_that_goes_away_cancels_the_stream_upstream(setup):
    async def test(client):
        body = chat(content=json.dumps({"hold_at": 1}), stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if "Hello" in line:
                    break
        await setup.worker.cancelled.wait()
        assert len(setup.gateway.streams) == 0
        assert 'error_type="client_disconnected"' in (await client.get("/metrics")).text

    run(setup, test)


def test_silence_is_filled_with_comment_pings(tmp_path):
    setup = Setup(tmp_path, ping_s=0.02)

    async def test(client):
        body = chat(content=json.dumps({"hold_at": 1}), stream=True)
        lines, pings = [], 0
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                lines.append(line)
                pings += line == ": ping"
                if pings == 3:
                    setup.worker.go_on.set()
        assert {line[:5] for line in lines} == {": pin", "data:", ""}
        return events_of("\n".join(lines).encode() + b"\n\n")

    assert run(setup, test)[-1] == "[DONE]"


def test_stream_that_stalls_ends_with_an_error_event(setup):
    setup.timeouts = type(setup.timeouts)(between_chunks_s=0.05)
    _, events, _ = stream(setup, {"hold_at": 1})
    assert events[-1]["error"]["code"] == "upstream_failed"
    assert "in time" in events[-1]["error"]["message"]


def test_shutdown_ends_a_stream_with_an_error_event(setup):
    async def test(client):
        body = chat(content=json.dumps({"hold_at": 1}), stream=True)
        raw = b""
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for chunk in answer.aiter_raw():
                raw += chunk
                if b"Hello" in chunk:
                    setup.gateway.streams.stop_all()
        await setup.worker.cancelled.wait()
        return events_of(raw)

    events = run(setup, test)
    assert len(terminals(events)) == 1
    assert events[-1]["error"]["code"] == "worker_unavailable"


def test_two_hundred_streams_at_once_of_which_a_third_leaves(setup):
    async def test(client):
        async def one(number):
            body = chat("ailiance", "electronics" if number % 2 else "python", stream=True)
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                assert answer.status_code == 200
                if number % 3 == 0:
                    return None
                return events_of(await answer.aread())[-1]

        client.timeout = 15
        ends = await asyncio.gather(*(one(n) for n in range(200)))
        assert ends.count("[DONE]") == 133
        assert len(setup.gateway.streams) == 0

    run(setup, test)
