"""Penalties, biases, stop tokens: over HTTP, from the body of a request to its answer."""

from typing import Any

import pytest

from tests.worker.server.conftest import Endpoint, Worker

TOKENS = 24
CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "What is a via?"}]})
TEXT = ("/v1/completions", {"prompt": "a a a a a a a a a a"})
ENDPOINTS = pytest.mark.parametrize("endpoint", [CHAT, TEXT], ids=["chat", "text"])


ASKING = [
    {"frequency_penalty": 2},
    {"presence_penalty": 2},
    {"repetition_penalty": 2},
    {"logit_bias": {"267": -100, "66": -100, "268": -100, "2": -100, "852": -100}},
]


@ENDPOINTS
@pytest.mark.parametrize("fields", ASKING, ids=lambda fields: next(iter(fields)))
def test_a_field_changes_its_own_answer_and_no_other(
    worker: Worker, endpoint: Endpoint, fields: dict[str, Any]
) -> None:
    on = {"ignore_eos": True, "max_tokens": 48}
    (plain,) = worker.choices(endpoint, on)
    (changed,) = worker.choices(endpoint, on | fields)
    assert changed != plain
    mixed = worker.choices(endpoint, on, on | fields, on, on | fields)
    assert mixed == [plain, changed, plain, changed]


@ENDPOINTS
def test_neutral_values_change_nothing(worker: Worker, endpoint: Endpoint) -> None:
    neutral = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1,
        "logit_bias": {},
        "stop_token_ids": [],
        "ignore_eos": False,
    }
    (plain,) = worker.choices(endpoint, {})
    assert worker.choices(endpoint, neutral, dict.fromkeys(neutral)) == [plain, plain]


@ENDPOINTS
def test_a_forced_token(worker: Worker, endpoint: Endpoint) -> None:
    token = worker.tokenizer.encode(" a", add_special_tokens=False)[-1]
    word = worker.tokenizer.decode([token])
    fields = {"logit_bias": {str(token): 100}, "max_tokens": 5, "temperature": 2}
    ((text, reason),) = worker.choices(endpoint, fields)
    assert (text.strip(), reason) == ((word * 5).strip(), "length")


@ENDPOINTS
def test_a_stop_token(worker: Worker, endpoint: Endpoint) -> None:
    token = worker.tokenizer.encode(" a", add_special_tokens=False)[-1]
    fields = {"logit_bias": {str(token): 100}, "stop_token_ids": [5, token]}
    for more in ({}, {"ignore_eos": True}):
        (answer,) = worker.post(endpoint, fields | more)
        assert worker.choices(endpoint, fields | more) == [("", "stop")]
        assert answer.json()["usage"]["completion_tokens"] == 1


def test_ignore_eos_goes_on_to_max_tokens(worker: Worker) -> None:
    eos = sorted(worker.tokenizer.eos_token_ids)[0]
    fields = {"logit_bias": {str(eos): 100}}
    ended, went_on = worker.post(CHAT, fields, fields | {"ignore_eos": True})
    found = [answer.json() for answer in (ended, went_on)]
    assert [body["choices"][0]["finish_reason"] for body in found] == ["stop", "length"]
    assert [body["usage"]["completion_tokens"] for body in found] == [1, TOKENS]
    assert [body["choices"][0]["message"]["content"] for body in found] == ["", ""]


@ENDPOINTS
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"frequency_penalty": 2.1}, "frequency_penalty"),
        ({"presence_penalty": -2.1}, "presence_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"logit_bias": {"2048": 1}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"stop_token_ids": [1, 2048]}, "stop_token_ids"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"ignore_eos": 1}, "ignore_eos"),
    ],
)
def test_a_bad_value_is_a_400(
    worker: Worker, endpoint: Endpoint, fields: dict[str, Any], param: str
) -> None:
    assert worker.vocabulary == 2048
    (answer,) = worker.post(endpoint, fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert param in error["message"]


@ENDPOINTS
def test_what_is_generated_is_marked_as_such(worker: Worker, endpoint: Endpoint) -> None:
    """Article 50(2) of the EU AI Act: also where the worker is asked without the gateway."""
    (answer,) = worker.post(endpoint, {"max_tokens": 1})
    assert answer.headers["x-ailiance-ai-generated"] == "true"
    assert answer.json()["ailiance"]["ai_generated"] is True
