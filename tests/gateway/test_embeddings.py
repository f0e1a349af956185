"""Embeddings: whose vectors a name means, what is sent to its server, and what comes back."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.exchange import INLINE_BYTES
from tests.gateway.fake_worker import DIGESTS, Fake
from tests.gateway.harness import FLEET, Setup, make_fleet, run
from tests.gateway.test_errors import INVALID, check

PATH = "/v1/embeddings"
TEXT = {"model": "ailiance-apertus", "input": "Ohm"}
BASES: dict[str, Any] = FLEET["bases"]


class Embedding(Fake):
    """Answers with vectors of ones; an input in JSON says what else happens."""

    def app(self):
        app = super().app()
        app.router.routes.append(Route(PATH, self.embed, methods=["POST"]))
        return app

    async def embed(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.started.set()
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        script = json.loads(inputs[0]) if str(inputs[0]).startswith("{") else {}
        if script.get("wait"):
            await self._wait_for_disconnect(request)
        answer: dict[str, Any] = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": [1.0] * script.get("size", 2)}
                for index in range(len(inputs))
            ],
            "model": self.model_in_answer or body["model"],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }
        if self.reports:
            digest = DIGESTS[self.base]
            facts = {"base": self.base, "base_digest": digest}
            answer["ailiance"] = facts | {"adapter": None, "adapter_digest": None}
        return JSONResponse(script.get("answer", answer), status_code=script.get("status", 200))


def fleet_with(*bases, **changes):
    on = {name: base | {"embeddings": name in bases} for name, base in BASES.items()}
    aliases = FLEET["aliases"] | {"text-embedding-3-small": "ailiance-apertus"}
    return make_fleet(bases=on, aliases=aliases, **changes)


@pytest.fixture
def setup(tmp_path):
    setup = Setup(tmp_path)
    setup.workers = {base: Embedding(base) for base in setup.workers}
    setup.workers["big"].reports = False
    setup.fleet = fleet_with("apertus", "big")
    return setup


def post(setup, body, **options):
    return run(setup, lambda client: client.post(PATH, json=body, **options))


@pytest.mark.parametrize(
    ("model", "base", "sent"),
    [
        ("ailiance-apertus", "apertus", "apertus"),
        ("text-embedding-3-small", "apertus", "apertus"),
        ("ailiance-big", "big", "org/Big-70B"),
    ],
)
def test_the_base_of_a_name(setup, model, base, sent):
    answer = post(setup, {"model": model, "input": ["a", "b"], "encoding_format": "float"})
    assert answer.status_code == 200
    body = answer.json()
    assert [entry["index"] for entry in body["data"]] == [0, 1]
    assert body["model"] == body["ailiance"]["model"] == f"ailiance-{base}"
    assert answer.headers["x-ailiance-model"] == f"ailiance-{base}"
    assert answer.headers["x-ailiance-reason"] == "explicit"
    assert float(answer.headers["x-ailiance-overhead-ms"]) >= 0
    assert {name: w.requests for name, w in setup.workers.items() if w.requests} == {
        base: [{"model": sent, "input": ["a", "b"], "encoding_format": "float"}]
    }


def test_what_answered_is_what_the_worker_says(setup):
    answer = post(setup, TEXT).json()
    assert answer["ailiance"]["base_digest"] == DIGESTS["apertus"]
    assert answer["ailiance"]["adapter"] is None
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_another_servers_own_model_name_stays(setup):
    setup.workers["big"].model_in_answer = "bge-m3"
    answer = post(setup, TEXT | {"model": "ailiance-big"})
    assert answer.json()["model"] == "bge-m3"
    assert "x-ailiance-model" not in answer.headers


@pytest.mark.parametrize(
    ("model", "mend"),
    [
        ("ailiance", "name a base: ailiance-apertus, ailiance-big"),
        ("gpt-4o", "name a base: ailiance-apertus, ailiance-big"),
        ("ailiance-apertus-auto", "name a base: ailiance-apertus, ailiance-big"),
        ("ailiance-apertus-power", "name 'ailiance-apertus'"),
        ("amp", "name 'ailiance-apertus'"),
        ("apertus:electronics", "name 'ailiance-apertus'"),
        ("ailiance-devstral", "set bases.devstral.embeddings: true"),
    ],
)
def test_a_name_that_has_no_vectors(setup, model, mend):
    error = check(post(setup, TEXT | {"model": model}), 400, INVALID, None, "model")
    assert mend in error["message"]
    assert not any(worker.requests for worker in setup.workers.values())


def test_a_fleet_that_serves_none(setup):
    setup.fleet = fleet_with()
    error = check(post(setup, TEXT | {"model": "ailiance"}), 400, INVALID, None, "model")
    assert "embeddings: true" in error["message"]


def test_an_unknown_model(setup):
    check(post(setup, TEXT | {"model": "nope"}), 404, INVALID, "model_not_found", "model")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": None}, None, "input"),
        ({"input": ["a", ""]}, None, "input[1]"),
        ({"encoding_format": "int8"}, None, "encoding_format"),
        ({"typo": 1}, "unknown_parameter", "typo"),
    ],
)
def test_bad_request(setup, body, code, param):
    check(post(setup, TEXT | body), 400, INVALID, code, param)
    assert setup.worker.requests == []


def test_headers_sent_on(setup):
    headers = {"traceparent": "00-1", "x-request-id": "r1", "authorization": "Bearer s"}
    post(setup, TEXT, headers=headers)
    sent = setup.worker.headers[0]
    assert (sent["traceparent"], sent["x-request-id"]) == ("00-1", "r1")
    assert "authorization" not in sent


def test_a_large_answer(setup):
    script = json.dumps({"size": INLINE_BYTES})
    answer = post(setup, TEXT | {"input": script}).json()
    assert len(answer["data"][0]["embedding"]) == INLINE_BYTES
    assert answer["model"] == "ailiance-apertus"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"answer": {"choices": []}}, 502),
        ({"answer": ["data"]}, 502),
        ({"answer": {"data": "vectors"}}, 502),
        ({"answer": {"detail": "Not Found"}, "status": 404}, 400),
        ({"answer": {"error": {"message": "m", "type": INVALID}}, "status": 400}, 400),
    ],
)
def test_a_server_that_gives_no_vectors(setup, script, status):
    body = {"model": "ailiance-big", "input": json.dumps(script)}
    assert post(setup, body).status_code == status


def test_an_upstream_without_usage_is_no_fault(setup):
    answer = {"object": "list", "data": [{"embedding": [1.0]}], "model": "org/Big-70B"}
    body = {"model": "ailiance-big", "input": json.dumps({"answer": answer | {"usage": "none"}})}
    assert post(setup, body).json()["model"] == "ailiance-big"


def test_tokens_and_durations_are_counted(setup):
    alias = "text-embedding-3-small"

    async def test(client):
        await client.post(PATH, json=TEXT | {"model": alias})
        await client.post(PATH, json=TEXT | {"model": "ailiance"})

    run(setup, test)
    models = ("embeddings", "ailiance", alias, "ailiance-apertus")
    registry, names = setup.gateway.metrics.registry, ("operation_name", "provider_name")
    names = [f"gen_ai_{name}" for name in (*names, "request_model", "response_model")]
    labels = dict(zip(names, models, strict=True))

    def value(name, **more):
        return registry.get_sample_value(name, labels | more)

    assert value("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 3
    assert value("gen_ai_client_token_usage_sum", gen_ai_token_type="output") is None
    duration = "gen_ai_server_request_duration_seconds_count"
    assert value(duration, error_type="") == 1
    labels |= {names[2]: "unknown", names[3]: "unknown"}
    assert value(duration, error_type=INVALID) == 1
    decided = {"domain": "none", "reason": "explicit"}
    assert registry.get_sample_value("ailiance_route_decisions_total", decided) == 1


def test_a_client_that_goes_closes_the_request_upstream(setup):
    async def test(client):
        asking = asyncio.create_task(
            client.post(PATH, json=TEXT | {"input": json.dumps({"wait": True})})
        )
        await setup.worker.started.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await setup.worker.cancelled.wait()

    run(setup, test)
