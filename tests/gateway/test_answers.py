"""Plain answers: routes, provenance in body and headers, models, dry run, metrics."""

import json

import pytest

from gateway.exchange import INLINE_BYTES
from tests.gateway.harness import Setup, chat, run


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def test_plain_answer_states_what_the_worker_reports(setup):
    async def test(client):
        answer = await client.post("/v1/chat/completions", json=chat("ailiance", "electronics?"))
        body = answer.json()
        assert answer.status_code == 200
        assert body["model"] == "ailiance-apertus-electronics"
        assert body["choices"][0]["message"]["content"] == "Hello world"
        assert body["ailiance"] == {
            "ai_generated": True,
            "model": "ailiance-apertus-electronics",
            "base": "apertus",
            "adapter": "electronics",
            "adapter_digest": "e" * 64,
            "base_digest": "a" * 64,
            "folded": [],
            "domain": "electronics",
            "confidence": 0.9,
            "reason": "classified",
            "evidence": None,
            "warning": None,
        }
        headers = answer.headers
        assert headers["x-ailiance-ai-generated"] == "true"
        assert headers["x-ailiance-model"] == "ailiance-apertus-electronics"
        assert headers["x-ailiance-base"] == "apertus"
        assert headers["x-ailiance-adapter"] == "electronics"
        assert headers["x-ailiance-adapter-digest"] == "e" * 64
        assert headers["x-ailiance-domain"] == "electronics"
        assert headers["x-ailiance-confidence"] == "0.9000"
        assert headers["x-ailiance-reason"] == "classified"
        assert float(headers["x-ailiance-overhead-ms"]) >= 0
        assert int(headers["openai-processing-ms"]) >= 0
        assert headers["x-request-id"].startswith("req_")

    run(setup, test)
    assert setup.worker.requests[0]["model"] == "electronics"


def test_what_was_folded_is_passed_on(setup):
    setup.worker.folded = ["system", "turns"]

    async def test(client):
        answer = await client.post("/v1/chat/completions", json=chat())
        assert answer.json()["ailiance"]["folded"] == ["system", "turns"]
        assert answer.headers["x-ailiance-folded"] == "system,turns"
        body = chat(stream=True)
        streamed = await client.post("/v1/chat/completions", json=body)
        assert streamed.headers["x-ailiance-folded"] == "system,turns"

    run(setup, test)


def test_worker_that_answers_with_the_bare_base_is_reported_as_such(setup):
    told = {"base": "apertus", "base_digest": "a", "adapter": None, "adapter_digest": None}
    script = {"answer": {"choices": [{"index": 0}], "model": "apertus", "ailiance": told}}

    async def test(client):
        body = chat("ailiance-apertus-electronics", json.dumps(script))
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.json()["model"] == "ailiance-apertus"
        assert answer.headers["x-ailiance-model"] == "ailiance-apertus"
        assert "x-ailiance-adapter" not in answer.headers

    run(setup, test)


def test_silent_upstream_is_believed_only_where_its_model_confirms(setup):
    async def test(client):
        answer = await client.post("/v1/chat/completions", json=chat("ailiance-big-law"))
        assert answer.json()["ailiance"]["adapter"] == "law"
        assert answer.json()["ailiance"]["adapter_digest"] is None
        setup.workers["big"].model_in_answer = "org/Other"
        answer = await client.post("/v1/chat/completions", json=chat("ailiance-big-law"))
        assert answer.json()["model"] == "org/Other"
        assert answer.json()["ailiance"]["base"] is None
        assert "x-ailiance-base" not in answer.headers

    run(setup, test)
    assert [r["model"] for r in setup.workers["big"].requests] == ["org/law-lora"] * 2


@pytest.mark.parametrize("given", ["abc-123", "x" * 128])
def test_request_id_of_the_client_is_kept_and_sent_on(setup, given):
    async def test(client):
        headers = {"x-request-id": given, "traceparent": "00-1-2-03"}
        answer = await client.post("/v1/chat/completions", json=chat(), headers=headers)
        assert answer.headers["x-request-id"] == given

    run(setup, test)
    assert setup.worker.headers[0]["x-request-id"] == given
    assert setup.worker.headers[0]["traceparent"] == "00-1-2-03"


@pytest.mark.parametrize("given", ["x" * 129, "tab\there", "caf\u00e9".encode("latin-1")])
def test_insane_request_id_is_replaced(setup, given):
    async def test(client):
        answer = await client.get("/health", headers={"x-request-id": given})
        assert answer.headers["x-request-id"].startswith("req_")

    run(setup, test)


def test_fields_of_the_client_reach_the_worker_as_they_were(setup):
    async def test(client):
        body = chat(temperature=0, seed=7, stop="END", max_completion_tokens=5, top_k=3)
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        body = {"model": "ailiance-apertus", "prompt": "hi", "adapters": "electronics"}
        answer = await client.post("/v1/completions", json=body)
        assert answer.json()["choices"][0]["text"] == "Hello world"

    run(setup, test)
    assert setup.worker.requests == [
        {
            "model": "apertus",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.0,
            "seed": 7,
            "stop": ["END"],
            "max_completion_tokens": 5,
            "top_k": 3,
        },
        {"model": "electronics", "prompt": "hi"},
    ]


def test_models_lists_every_public_name(setup):
    async def test(client):
        listed = {m["id"]: m for m in (await client.get("/v1/models")).json()["data"]}
        assert list(listed) == [name for name, _ in setup.gateway.names.items()]
        adapter = listed["ailiance-apertus-electronics"]
        assert adapter["parent"] == "ailiance-apertus"
        assert (adapter["root"], adapter["max_model_len"]) == ("demo/e", 512)
        assert listed["ailiance-apertus"]["parent"] is None
        assert {"gpt-4o", "amp", "ailiance-devstral-auto"} <= set(listed)
        one = await client.get("/v1/models/amp")
        assert one.json().items() >= listed["amp"].items()
        assert (await client.get("/v1/models/org/x")).json()["error"]["code"] == "model_not_found"

    run(setup, test)


def test_route_is_a_dry_run(setup):
    async def test(client):
        answer = await client.post("/v1/route", json=chat("ailiance", "python?"))
        assert answer.json() == {
            "model": "ailiance-devstral-python",
            "base": "devstral",
            "adapter": "python",
            "domain": "python",
            "confidence": 0.9,
            "reason": "classified",
            "evidence": None,
            "warning": None,
            "scores": {"python": 0.9, "general": 0.1},
            "router": "0" * 64,
        }

    run(setup, test)
    assert setup.workers["devstral"].requests == []


def test_health_says_which_base_is_not_ready(setup):
    async def test(client):
        setup.gateway.phases |= {"apertus": "ready", "devstral": "restarting"}
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "degraded",
            "bases": {"apertus": "ready", "devstral": "restarting", "big": "external"},
        }
        setup.gateway.phases["devstral"] = "ready"
        assert (await client.get("/health")).status_code == 200

    run(setup, test)


def test_metrics_merges_the_workers_families_and_labels_only_configured_names(setup):
    async def test(client):
        await client.post("/v1/chat/completions", json=chat("ailiance", "electronics"))
        await client.post("/v1/chat/completions", json=chat("evil-name"))
        error = {"status": 400, "body": {"error": {"message": "m", "code": "evil-code"}}}
        await client.post("/v1/chat/completions", json=chat(content=json.dumps(error)))
        text = (await client.get("/metrics")).text
        for base in ("apertus", "devstral"):
            assert f'vllm:num_requests_running{{model_name="{base}"}} 3.0' in text
        assert text.count("# TYPE vllm:num_requests_running gauge") == 1
        assert "process_open_fds" not in text
        assert "_created" not in text
        assert "evil" not in text
        assert 'error_type="model_not_found"' in text
        assert 'error_type="upstream_error"' in text
        decision = 'decisions_total{domain="electronics",reason="classified"} 1.0'
        assert decision in text
        assert 'gen_ai_response_model="ailiance-apertus-electronics"' in text
        assert "ailiance_overhead_seconds_count 1.0" in text
        usage = [x for x in text.splitlines() if x.startswith("gen_ai_client_token_usage_sum")]
        assert [x.rsplit(" ", 1)[1] for x in usage] == ["3.0", "3.0"]

    run(setup, test)


@pytest.mark.parametrize("model", ["ailiance-apertus", "ailiance-big"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_sampling_fields_reach_any_engine_as_they_were_set(setup, model, path):
    fields = {
        "frequency_penalty": 0,
        "presence_penalty": -1.5,
        "repetition_penalty": 1.1,
        "logit_bias": {"50256": -100, "7": 0.5},
        "stop_token_ids": [7, 9],
        "ignore_eos": True,
    }

    async def test(client):
        body = {"model": model, "prompt": "x"} if path == "/v1/completions" else chat(model)
        assert (await client.post(path, json=body | fields)).status_code == 200
        assert (await client.post(path, json=body)).status_code == 200

    run(setup, test)
    with_fields, without = setup.workers[model.removeprefix("ailiance-")].requests
    assert {name: with_fields[name] for name in fields} == fields
    assert not fields.keys() & without.keys()


CHOICE = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"choices": {"a": 1}}, 502),
        ({"choices": "none"}, 502),
        ({"choices": [CHOICE], "usage": {"prompt_tokens": "3", "completion_tokens": "4"}}, 200),
        ({"choices": [CHOICE], "usage": {"prompt_tokens": None, "completion_tokens": 4.0}}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_an_odd_answer_of_another_server_is_no_fault_of_ours(setup, path, answer, status):
    script = json.dumps({"answer": answer | {"model": "org/Big-70B"}})
    body = {"model": "ailiance-big"}
    body |= {"input": script} if "responses" in path else chat(content=script) | body

    async def test(client):
        found = await client.post(path, json=body)
        assert found.status_code == status
        counted = (await client.get("/metrics")).text
        assert "internal_error" not in counted
        assert "gen_ai_client_token_usage_count" not in counted

    run(setup, test)


def test_a_large_answer(setup):
    script = json.dumps({"tokens": ["word "] * INLINE_BYTES})

    async def test(client):
        answer = (await client.post("/v1/chat/completions", json=chat(content=script))).json()
        assert answer["choices"][0]["message"]["content"] == "word " * INLINE_BYTES
        assert answer["model"] == "ailiance-apertus"

    run(setup, test)
