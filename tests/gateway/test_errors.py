"""Every fault is OpenAI's envelope: ours, FastAPI's, the upstream's, a bug's."""

import asyncio
import json
import logging

import pytest

from tests.gateway.harness import Setup, chat, run


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def post(setup, body, path="/v1/chat/completions", **options):
    async def test(client):
        if isinstance(body, bytes):
            return await client.post(path, content=body, **options)
        return await client.post(path, json=body, **options)

    return run(setup, test)


def check(answer, status, type_, code, param=None):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answer.status_code, error["type"], error["code"], error["param"]) == (
        status,
        type_,
        code,
        param,
    )
    assert answer.headers["x-request-id"]
    return error


INVALID = "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, None, None),
        (b"\xff{}", 400, None, None),
        (b"[1]", 400, None, None),
        (b"[" * 100_000, 400, None, None),
        (b'{"model":"ailiance","max_tokens":' + b"9" * 5000 + b"}", 400, None, None),
        (
            b'{"model":"ailiance","messages":[{"role":"user","content":"\\ud800"}]}',
            400,
            None,
            None,
        ),
        (chat("nope"), 404, "model_not_found", "model"),
        ({"model": "ailiance", "messages": []}, 400, None, "messages"),
        (chat(max_tokens=-1), 400, None, "max_tokens"),
        (chat(audio={}), 400, "unsupported_parameter", "audio"),
        (chat(typo=2), 400, "unknown_parameter", "typo"),
    ],
)
def test_bad_request(setup, body, status, code, param):
    check(post(setup, body), status, INVALID, code, param)
    assert setup.worker.requests == []


def test_no_body_at_all(setup):
    check(post(setup, b""), 400, INVALID, None)


def test_no_such_path_and_wrong_method(setup):
    check(post(setup, chat(), "/v1/nope"), 404, INVALID, "not_found")
    answer = run(setup, lambda client: client.get("/v1/chat/completions"))
    check(answer, 405, INVALID, None)
    assert answer.headers["allow"] == "POST"
    answer = run(setup, lambda client: client.put("/v1/responses/resp_1"))
    assert answer.headers["allow"] == "DELETE, GET"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/route"])
def test_body_of_10_mb_is_refused_by_its_stated_length(setup, path):
    answer = post(setup, chat(content="x" * 10_000_000), path)
    check(answer, 413, INVALID, "request_too_large")


def test_body_of_10_mb_is_refused_by_counting(setup):
    async def chunks():
        for _ in range(100):
            yield b"x" * 100_000

    async def test(client):
        return await client.post("/v1/chat/completions", content=chunks())

    check(run(setup, test), 413, INVALID, "request_too_large")


def test_upstream_envelope_is_passed_on_with_its_status_and_retry_after(setup):
    error = {"message": "busy", "type": "service_unavailable_error", "param": None, "code": "c"}
    script = {"status": 503, "body": {"error": error}, "headers": {"retry-after": "7"}}
    answer = post(setup, chat(content=json.dumps(script)))
    assert check(answer, 503, "service_unavailable_error", "c")["message"] == "busy"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-ailiance-reason"] == "explicit"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ({"status": 500, "body": "no envelope"}, 502, "upstream_failed"),
        ({"status": 401}, 502, "upstream_failed"),
        ({"answer": {"choices": []}}, 502, "upstream_failed"),
        ({"answer": ["x"]}, 502, "upstream_failed"),
    ],
)
def test_an_upstream_that_gives_no_answer(setup, script, status, code):
    check(post(setup, chat(content=json.dumps(script))), status, "server_error", code)


def test_an_upstream_that_is_slow(setup):
    setup.timeouts = type(setup.timeouts)(first_byte_s=0.05)
    answer = post(setup, chat(content=json.dumps({"wait": True})))
    check(answer, 502, "server_error", "upstream_failed")
    assert "in time" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_refused_connection_is_a_503_with_retry_after(setup, stream):
    async def test(client):
        (setup.folder / "apertus.sock").unlink()
        return await client.post("/v1/chat/completions", json=chat(stream=stream))

    answer = run(setup, test)
    check(answer, 503, "service_unavailable_error", "worker_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_bug_is_a_500_without_details_and_logged_without_the_prompt(setup, caplog):
    class Broken:
        is_fast = True

        def classify(self, turns, earlier=None):
            raise RuntimeError(f"secret {turns}")

    async def test(client):
        setup.gateway.router = Broken()
        headers = {"x-request-id": "bug-1"}
        return await client.post(
            "/v1/chat/completions", json=chat("ailiance", "secret"), headers=headers
        )

    with caplog.at_level(logging.INFO):
        answer = run(setup, test)
    check(answer, 500, "server_error", None)
    assert answer.json()["error"]["message"] == "internal error"
    assert "request bug-1: RuntimeError at test_errors.py" in caplog.text
    assert "secret" not in caplog.text + answer.text


def test_one_log_line_a_request_with_the_route_template(setup, caplog):
    async def test(client):
        await client.get("/v1/models/amp", headers={"x-request-id": "r1"})
        await client.post("/v1/chat/completions", json=chat(content="secret"))
        await client.get("/nope/secret")

    with caplog.at_level(logging.INFO, "gateway.access"):
        run(setup, test)
    lines = [r.getMessage() for r in caplog.records if r.name == "gateway.access"]
    assert lines[0].startswith("GET /v1/models/{model:path} 200 ")
    assert lines[0].endswith(" r1 -")
    assert lines[1].startswith("POST /v1/chat/completions 200 ")
    assert lines[1].endswith(" ailiance-apertus")
    assert lines[2].startswith("GET - 404 ")
    assert "secret" not in caplog.text


def test_client_that_goes_away_cancels_the_plain_call_upstream(setup):
    async def test(client):
        body = chat(content=json.dumps({"wait": True}))
        call = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await setup.worker.started.wait()
        call.cancel()
        await setup.worker.cancelled.wait()
        text = (await client.get("/metrics")).text
        assert 'error_type="client_disconnected"' in text

    run(setup, test)
