"""The error tree: one envelope of four keys for every status, and when to come back."""

import json

import pytest

from wire import errors
from wire.errors import (
    AilianceError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    RateLimited,
    UpstreamError,
    WorkerUnavailable,
    http_status,
)

KEYS = {"message", "type", "param", "code"}


def tree(root=AilianceError):
    return [root, *(found for child in root.__subclasses__() for found in tree(child))]


OURS = [kind for kind in tree() if kind is not UpstreamError and kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", OURS)
def test_the_envelope_always_has_the_same_four_keys(kind):
    envelope = kind("what").envelope()
    assert set(envelope) == {"error"}
    assert set(envelope["error"]) == KEYS
    assert envelope["error"]["message"] == "what"
    assert envelope["error"]["param"] is None
    json.dumps(envelope)


@pytest.mark.parametrize(
    ("name", "status", "kind", "code"),
    [
        ("AilianceError", 500, "server_error", None),
        ("InvalidRequest", 400, "invalid_request_error", None),
        ("UnsupportedField", 400, "invalid_request_error", "unsupported_parameter"),
        ("ContextTooLong", 400, "invalid_request_error", "context_length_exceeded"),
        ("InvalidApiKey", 401, "invalid_request_error", "invalid_api_key"),
        ("PermissionDenied", 403, "permission_error", None),
        ("NotFound", 404, "invalid_request_error", None),
        ("ModelNotFound", 404, "invalid_request_error", "model_not_found"),
        ("MethodNotAllowed", 405, "invalid_request_error", None),
        ("RequestTooLarge", 413, "invalid_request_error", "request_too_large"),
        ("RateLimited", 429, "rate_limit_error", "rate_limit_exceeded"),
        ("Overloaded", 503, "service_unavailable_error", "server_is_overloaded"),
        ("WorkerUnavailable", 503, "service_unavailable_error", "worker_unavailable"),
        ("EngineFailed", 500, "server_error", "engine_failed"),
        ("UpstreamFailed", 502, "server_error", "upstream_failed"),
    ],
)
def test_status_type_and_code_of_each_class(name, status, kind, code):
    error = getattr(errors, name)("what")
    body = error.envelope()["error"]
    assert (http_status(error), body["type"], body["code"]) == (status, kind, code)


def test_the_table_above_and_the_docstring_name_every_class():
    for kind in OURS:
        assert kind.__name__ in (errors.__doc__ or "")


def test_param_and_code_can_be_given():
    error = InvalidRequest("no", param="messages[0]", code="unknown_parameter")
    body = error.envelope()["error"]
    assert (body["param"], body["code"]) == ("messages[0]", "unknown_parameter")
    assert ModelNotFound("no", code="other").envelope()["error"]["code"] == "other"


@pytest.mark.parametrize(
    ("wait_s", "seconds", "milliseconds"),
    [(0.0, "1", "1"), (0.2, "1", "200"), (1.0, "1", "1000"), (2.6, "3", "2600")],
)
def test_retry_after_is_whole_seconds_and_at_least_one(wait_s, seconds, milliseconds):
    headers = Overloaded("full", retry_after_s=wait_s).headers()
    assert headers == {"retry-after": seconds, "retry-after-ms": milliseconds}


def test_no_retry_after_where_the_wait_is_unknown():
    assert WorkerUnavailable("gone").headers() == {}


def test_only_what_may_pass_is_retryable():
    assert {kind for kind in OURS if kind.retryable} == {
        RateLimited,
        Overloaded,
        WorkerUnavailable,
    }


def test_an_upstream_error_keeps_its_status_and_gets_all_four_keys():
    error = UpstreamError(418, {"message": "teapot", "type": "odd", "extra": {"a": 1}})
    assert http_status(error) == 418
    assert error.envelope() == {
        "error": {"message": "teapot", "type": "odd", "param": None, "code": None}
    }
    assert set(UpstreamError(500, {}).envelope()["error"]) == KEYS
