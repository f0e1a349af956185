"""The document beside the app and beside its own rules."""

import json
import re

import pytest
import schemathesis
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from gateway.app import create_app
from gateway.openapi import document
from gateway.openapi.operation import JSON
from gateway.service import Gateway
from tests.gateway.harness import WordRouter
from tests.gateway.openapi.made import (
    DOCUMENT,
    FLEET,
    SCHEMAS,
    SERVED,
    body_validator,
    operations,
    validator,
)

REQUESTS = [
    (path, title, each["value"])
    for _, path, said in operations()
    if "requestBody" in said
    for title, each in said["requestBody"]["content"][JSON]["examples"].items()
]
ANSWERS = [
    (f"{path} {status}", content["schema"], content["example"])
    for _, path, said in operations()
    for status, response in said["responses"].items()
    for media, content in response.get("content", {}).items()
    if "example" in content and media == JSON
]


def references(value):
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def request_schemas():
    """Names of the schemas that bodies refer to, at any depth."""
    waiting = [
        name
        for _, _, said in operations()
        if "requestBody" in said
        for name in references(said["requestBody"])
    ]
    seen = set()
    while waiting:
        name = waiting.pop().rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            waiting += references(SCHEMAS[name])
    return seen


def test_every_route_is_in_the_document_and_the_other_way_round():
    app = create_app(Gateway(FLEET, WordRouter(), {}))
    routes = {
        (method.lower(), re.sub(r":\w+}", "}", route.path))
        for route in _routes(app.router)
        for method in route.methods
    }
    assert {(method, path) for method, path, _ in operations()} == routes


def _routes(router):
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router)


def test_it_is_openapi_3_1():
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_it_is_json_and_made_the_same_twice():
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT == document(SERVED)


def test_every_reference_leads_somewhere():
    for reference in set(references(DOCUMENT)):
        found = DOCUMENT
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_every_field_of_a_request_is_described():
    fields = {
        f"{name}.{field}": schema.get("description")
        for name in request_schemas()
        for field, schema in SCHEMAS[name].get("properties", {}).items()
    }
    assert [field for field, text in fields.items() if not text] == []


def test_operation_ids_are_unique():
    ids = [said["operationId"] for _, _, said in operations()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("path", "title", "body"), REQUESTS)
def test_example_requests_are_valid(path, title, body):
    body_validator(path).validate(body)


@pytest.mark.parametrize(("where", "schema", "example"), ANSWERS)
def test_example_answers_are_valid(where, schema, example):
    validator(schema).validate(example)


@pytest.mark.parametrize("name", DOCUMENT["components"]["responses"])
def test_examples_of_errors_are_valid(name):
    content = DOCUMENT["components"]["responses"][name]["content"][JSON]
    if "example" in content:
        validator(content["schema"]).validate(content["example"])


def test_example_streams_hold_valid_events():
    for _, _, said in operations():
        for content in said["responses"].get("200", {}).get("content", {}).values():
            if "x-event-schema" in content and "example" in content:
                *frames, done = content["example"].removesuffix("\n\n").split("\n\n")
                assert done == "data: [DONE]"
                for frame in frames:
                    event = json.loads(frame.removeprefix("data: "))
                    validator(content["x-event-schema"]).validate(event)
