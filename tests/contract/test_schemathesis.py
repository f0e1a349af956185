"""The document beside a real gateway: what it promises is what comes.

Schemathesis makes requests from the document, fitting and not, and checks statuses, content types,
headers and shapes of the answers. Requests are kept cheap: few tokens, few choices, known models.
"""

import copy
import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fleet.load import load_fleet
from fleet.names import Names
from gateway.openapi import document
from gateway.openapi.operation import EVENTS, JSON
from gateway.routes.docs import served_of
from tests.contract.processes import FLEET

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
MOST_TOKENS = 4
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def _document() -> dict[str, Any]:
    fleet = load_fleet(FLEET)
    return document(served_of(fleet, Names(fleet)))


DOCUMENT = _document()
EXAMPLES = [
    (path, title, each["value"])
    for path, methods in DOCUMENT["paths"].items()
    for said in methods.values()
    if "requestBody" in said
    for title, each in said["requestBody"]["content"][JSON]["examples"].items()
]


def _generated_from() -> dict[str, Any]:
    """The document as requests are made from it.

    Without the answers of other servers, so that a status which is not listed is a failure; and
    without the rules between the fields of a whole body, which together are more than schemathesis
    can generate from: tests/gateway/openapi/test_accepted.py is about those.
    """
    raw = copy.deepcopy(DOCUMENT)
    for methods in raw["paths"].values():
        for said in methods.values():
            said["responses"].pop("default", None)
            events = said["responses"].get("200", {}).get("content", {}).get(EVENTS)
            if events is not None:
                # it judges events one by one, each as an object of its fields
                events["schema"] = {"type": "object", "required": ["data"]}
    for name, schema in raw["components"]["schemas"].items():
        if name.endswith("Request"):
            schema.pop("allOf", None)
    return raw


SCHEMA = schemathesis.openapi.from_dict(_generated_from())


@SCHEMA.hook
def map_body(context, body):
    """Cheap, and mostly of a model that is served; what is wrong with a body stays wrong."""
    if not isinstance(body, dict):
        return body
    cheap = dict(body)
    for name in LIMITS:
        value = cheap.get(name)
        if isinstance(value, int) and value > MOST_TOKENS:
            cheap[name] = 1 + value % MOST_TOKENS
    if isinstance(cheap.get("n"), int) and cheap["n"] > 2 and cheap["n"] <= 128:
        cheap["n"] = 2
    _limit(context.operation.path, cheap)
    model = cheap.get("model")
    if isinstance(model, str) and 0 < len(model) <= 256:
        known = [*DOCUMENT["components"]["parameters"]["model"]["schema"]["examples"], model]
        cheap["model"] = known[sum(map(ord, model)) % len(known)]
    return cheap


def _limit(path: str, body: dict[str, Any]) -> None:
    """A body that names no limit would generate until the context is full."""
    limits = {
        "/v1/chat/completions": "max_tokens",
        "/v1/completions": "max_tokens",
        "/v1/responses": "max_output_tokens",
    }
    name = limits.get(path)
    if name is not None and all(body.get(each) is None for each in LIMITS):
        body[name] = MOST_TOKENS


def _settings(examples: int, phases: tuple[Phase, ...]) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


def _check(case, url):
    case.call_and_validate(base_url=url, checks=CHECKS, timeout=60)


@SCHEMA.parametrize()
@_settings(12, (Phase.generate,))
def test_a_few_requests_of_each_operation(case, url):
    _check(case, url)


@pytest.mark.slow
@SCHEMA.parametrize()
@_settings(300, (Phase.generate, Phase.shrink))
def test_many_requests_of_each_operation(case, url):
    _check(case, url)


def test_the_document_is_served(http):
    assert http.get("/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("path", "title", "body"), EXAMPLES)
def test_examples_work_and_their_answers_are_as_described(http, path, title, body):
    response = http.post(path, json=body)
    assert response.status_code == 200, response.text
    content = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]
    if JSON not in content:
        assert response.headers["content-type"].partition(";")[0] in content
        return
    if not body.get("stream"):
        _validator(content[JSON]["schema"]).validate(response.json())
        return
    schema = _validator(content[EVENTS]["x-event-schema"])
    lines = [line for line in response.text.splitlines() if line.startswith("data: {")]
    assert lines
    for line in lines:
        schema.validate(json.loads(line.removeprefix("data: ")))


def test_facts_are_as_described(http):
    for path in ("/v1/models", "/v1/adapters", "/health"):
        schema = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"][JSON]["schema"]
        _validator(schema).validate(http.get(path).json())


def _validator(schema: dict[str, Any]):
    """Strict: what comes from our own workers has no field that the document lacks."""
    components = {"schemas": {n: _closed(s) for n, s in DOCUMENT["components"]["schemas"].items()}}
    return Draft202012Validator({"allOf": [schema], "components": components})


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    # the rest of an event depends on its type
    if "properties" not in schema or "sequence_number" in schema["properties"]:
        return schema
    return schema | {"additionalProperties": False}
