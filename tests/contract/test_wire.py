"""The wire itself, byte by byte where it matters: frames, envelopes, metrics, refusals."""

import json
import re
import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.processes import EMBEDDED, read_metrics, wait_for
from wire.fields import UNSUPPORTED_CHAT, UNSUPPORTED_COMPLETION

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "What does a Nyquist frequency mean for an ADC?"}]

# name -> labels, of every metric in conventions.md
METRICS = {
    "gen_ai_server_request_duration_seconds": {
        *("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"),
        *("gen_ai_response_model", "error_type"),
    },
    "gen_ai_server_time_to_first_token_seconds": {"gen_ai_request_model", "gen_ai_response_model"},
    "gen_ai_server_time_per_output_token_seconds": {"gen_ai_request_model"},
    "gen_ai_client_token_usage": {"gen_ai_operation_name", "gen_ai_token_type"},
    "vllm:num_requests_running": {"model_name"},
    "vllm:num_requests_waiting": {"model_name"},
    "vllm:kv_cache_usage_perc": {"model_name"},
    "vllm:time_to_first_token_seconds": {"model_name"},
    "vllm:e2e_request_latency_seconds": {"model_name"},
    "vllm:request_queue_time_seconds": {"model_name"},
    "vllm:lora_requests_info": {"max_lora", "running_lora_adapters", "waiting_lora_adapters"},
    "ailiance_route_decisions": {"domain", "reason"},
    "ailiance_classification_seconds": set(),
    "ailiance_overhead_seconds": set(),
    "ailiance_adapter_load_seconds": set(),
    "ailiance_adapter_resident": {"adapter", "base"},
    "ailiance_adapter_requests": {"adapter", "status"},
    "ailiance_adapter_tokens": {"adapter", "kind"},
    "ailiance_batch_rows": set(),
    "ailiance_batch_distinct_adapters": set(),
    "ailiance_cancelled": {"stage"},
    "ailiance_worker_restarts": {"base"},
}


def chat(model="ailiance-apertus-dsp", **fields):
    return {"model": model, "messages": QUESTION, "max_tokens": 5, "temperature": 0} | fields


def check_envelope(response, status, code=None, param=None):
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    assert (body["error"]["code"], body["error"]["param"]) == (code, param)
    return body["error"]


def stream_frames(http, path, body):
    """The raw events of a stream, each checked to be ``data: ...`` alone."""
    with http.stream("POST", path, json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        raw = b"".join(response.iter_raw())
    assert raw.endswith(b"\n\n")
    frames = raw.decode().removesuffix("\n\n").split("\n\n")
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    return [frame.removeprefix("data: ") for frame in frames]


@pytest.mark.parametrize("with_usage", [True, False])
def test_chat_stream_frame_by_frame(http, with_usage):
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    *frames, done = stream_frames(http, CHAT, chat(stream=True, **options))
    assert done == "[DONE]"
    assert "[DONE]" not in frames
    chunks = [json.loads(frame) for frame in frames]
    for key in ("id", "created", "model", "system_fingerprint", "object"):
        assert len({chunk[key] for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert ["ailiance" in chunk for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
    if with_usage:
        *chunks, last = chunks
        assert last["choices"] == []
        assert 0 < last["usage"]["completion_tokens"] <= 5
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        assert all("usage" not in chunk for chunk in chunks)
    choices = [chunk["choices"] for chunk in chunks]
    assert all(len(c) == 1 and c[0]["index"] == 0 for c in choices)
    (first,), *middle, (last,) = choices
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert all(set(c["delta"]) == {"content"} and c["delta"]["content"] for (c,) in middle)
    assert (last["delta"], last["finish_reason"]) == ({}, last["finish_reason"])
    assert last["finish_reason"] in ("stop", "length")
    assert all(c["finish_reason"] is None for c in (first, *(m for (m,) in middle)))


def test_completion_stream(http):
    body = {"model": "ailiance-devstral-cpp", "prompt": "int main", "max_tokens": 4, "stream": True}
    *frames, done = stream_frames(http, "/v1/completions", body)
    chunks = [json.loads(frame) for frame in frames]
    assert done == "[DONE]"
    assert {c["object"] for c in chunks} == {"text_completion"}
    assert len({c["id"] for c in chunks}) == 1
    assert [c["choices"][0]["finish_reason"] for c in chunks][-1] in ("stop", "length")
    assert all(isinstance(c["choices"][0]["text"], str) for c in chunks)


def test_stream_is_not_buffered(url):
    """The first chunk comes long before the last: over a bare socket, without a client."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(chat(stream=True, max_tokens=100)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        reads = []
        while not reads or b"0\r\n\r\n" not in reads[-1]:
            reads.append(connection.recv(65536))
            assert reads[-1]
    assert len(reads) > 3
    assert b"data: [DONE]" not in reads[0] + reads[1]
    assert b"".join(reads).count(b"data: [DONE]") == 1


def test_an_error_before_the_first_byte_is_no_stream(http):
    body = chat("nothing-like-that", stream=True)
    check_envelope(http.post(CHAT, json=body), 404, "model_not_found", "model")


@pytest.mark.parametrize("model", ["ailiance", "ailiance-apertus-auto", "ailiance-apertus-emc"])
def test_route_is_a_dry_run_of_the_same_body(http, model):
    body = chat(model, stream=True)
    before = read_metrics(http)
    told = http.post("/v1/route", json=body).raise_for_status().json()
    facts = ("model", "base", "adapter", "domain", "confidence", "reason")
    assert set(told) == {*facts, "scores", "router", "evidence", "warning"}
    assert read_metrics(http).sum("ailiance_adapter_requests_total") == before.sum(
        "ailiance_adapter_requests_total"
    )
    answer = http.post(CHAT, json=chat(model)).raise_for_status().json()
    for key in facts:
        assert answer["ailiance"][key] == told[key]
    if told["reason"] != "explicit":
        assert sum(told["scores"].values()) == pytest.approx(1, abs=0.01)
        assert set(told["scores"]) == {*EMBEDDED["domains"], "general"}


def test_health(http):
    response = http.get("/health")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "bases": {"apertus": "ready", "devstral": "ready"},
    }


def test_metrics(http):
    http.post(CHAT, json=chat()).raise_for_status()
    stream_frames(http, CHAT, chat("ailiance", stream=True))
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(response.text))
    found = {family.name: family for family in families}
    assert len(found) == len(families)
    assert all(family.documentation for family in families)
    for name, labels in METRICS.items():
        assert name in found
        for sample in found[name].samples:
            assert labels <= set(sample.labels)
    # a counter of abandoned requests may have no series yet; everything else has data
    assert {name for name in METRICS if not found[name].samples} <= {"ailiance_cancelled"}
    residents = found["ailiance_adapter_resident"].samples
    assert {s.labels["adapter"] for s in residents} == set(EMBEDDED["adapters"])


def test_metrics_count_one_request_once(http):
    model = {"gen_ai_request_model": "ailiance-apertus-iot"}
    duration = "gen_ai_server_request_duration_seconds_count"

    def counts():
        metrics = read_metrics(http)
        return (
            metrics.sum(duration, error_type="", **model),
            metrics.sum("ailiance_adapter_requests_total", adapter="iot"),
            metrics.sum("ailiance_adapter_tokens_total", adapter="iot", kind="generated"),
            metrics.sum("gen_ai_client_token_usage_sum", gen_ai_token_type="output", **model),
        )

    body = chat("ailiance-apertus-iot")
    before = counts()
    tokens = http.post(CHAT, json=body).raise_for_status().json()["usage"]["completion_tokens"]
    assert [now - was for now, was in zip(counts(), before, strict=True)] == [1, 1, tokens, tokens]
    before = counts()
    stream_frames(http, CHAT, body | {"stream": True})
    # the client has the end of a stream a moment before it is counted
    wait_for(lambda: counts()[0] > before[0])
    assert [now - was for now, was in zip(counts(), before, strict=True)] == [1, 1, tokens, tokens]


def test_client_text_is_never_a_label(http):
    http.post(CHAT, json=chat("cl1ent-text"))
    http.get("/cl1ent-path")
    http.post("/v1/route", json=chat("apertus:cl1ent"))
    assert "cl1ent" not in http.get("/metrics").text


ASKING = {  # a value of the right type that asks for something
    "audio": {"voice": "alloy", "format": "wav"},
    "chat_template": "{{ messages }}",
    "documents": [{"title": "t", "text": "x"}],
    "function_call": "auto",
    "functions": [{"name": "f", "parameters": {}}],
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_options": {"ttl": "30m"},
    "prompt_cache_retention": "24h",
    "verbosity": "low",
    "web_search_options": {},
    "best_of": 3,
    "suffix": "end",
}


@pytest.mark.parametrize("field", sorted(UNSUPPORTED_CHAT))
def test_unsupported_chat_field(http, field):
    check_refused(http, CHAT, chat(), field, UNSUPPORTED_CHAT[field])


@pytest.mark.parametrize("field", sorted(UNSUPPORTED_COMPLETION))
def test_unsupported_completion_field(http, field):
    body = {"model": "ailiance-apertus", "prompt": "Ohm", "max_tokens": 1}
    neutral = UNSUPPORTED_COMPLETION[field]
    check_refused(http, "/v1/completions", body, field, neutral)


def check_refused(http, path, body, field, neutral):
    """Refused by name where it asks for something; taken where it asks for nothing."""
    refused = http.post(path, json=body | {field: ASKING[field]})
    error = check_envelope(refused, 400, "unsupported_parameter", field)
    assert field in error["message"]
    assert error["type"] == "invalid_request_error"
    for nothing in (None, *neutral[:1]):
        assert http.post(path, json=body | {"max_tokens": 1, field: nothing}).status_code == 200


def test_unknown_path_and_method(http):
    check_envelope(http.get("/v1/nothing"), 404, "not_found")
    check_envelope(http.post("/", json={}), 404, "not_found")
    for method, path in (("GET", CHAT), ("DELETE", "/v1/models"), ("POST", "/health")):
        response = http.request(method, path)
        check_envelope(response, 405)
        assert method not in response.headers["allow"]


def test_head_has_no_body_and_keeps_the_connection(url):
    """A body after HEAD would be read as the start of the next answer."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for path in ("/v1/nothing", "/health", CHAT):
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            assert re.match(rb"HTTP/1.1 (200|404|405) ", answer)
            assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("given", ["a-b_c.1", "x" * 128])
def test_request_id_is_echoed(http, given):
    assert http.get("/health", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["x" * 129, "t\u00e9".encode("latin-1"), ""])
def test_an_unusable_request_id_is_replaced(http, given):
    echoed = http.get("/health", headers={"x-request-id": given}).headers["x-request-id"]
    assert re.fullmatch(r"req_[0-9a-f]{24}", echoed)


def test_many_requests_over_one_connection(url):
    """Errors and answers in turn, pipelined by keep-alive: none leaves a rest behind."""
    with httpx.Client(base_url=url, limits=httpx.Limits(max_connections=1), timeout=60) as client:
        for _ in range(3):
            assert client.post(CHAT, content=b"{").status_code == 400
            assert client.post(CHAT, content=b"x" * (2 << 20)).status_code == 413
            assert client.post(CHAT, json=chat(max_tokens=1)).status_code == 200
            assert client.post("/v1/nothing", content=b"y" * 4096).status_code == 404
