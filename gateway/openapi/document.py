"""Composes the OpenAPI 3.1 document out of the registry of operations. Pure; about 30 ms."""

from collections.abc import Sequence

from pydantic import BaseModel

from gateway import __version__
from gateway.openapi import statuses
from gateway.openapi.facts import ErrorEnvelope
from gateway.openapi.headers import ALWAYS, HEADERS, PARAMETERS
from gateway.openapi.operation import JSON, Answer, Body, Content, Operation, Schema, Served
from gateway.openapi.operations import TAGS, operations
from gateway.openapi.schemas import answer_schemas, examples_of, ref, request_schemas

DESCRIPTION = """\
OpenAI's API over LoRA adapters that share a few base models. `model` names a base, an adapter, or \
lets the router choose.

`null` is absent, in a body and in its objects. A field of no API is refused by name (code \
`unknown_parameter`), as is a standard field that is not supported (`unsupported_parameter`). \
Numbers are strict: neither `"1"` nor `true` nor, for an integer, `1.0`.

Every error is the same envelope, also 404 `not_found` for a path that is not here and 405 for a \
method that a path does not take. A stream of completions that fails after its first byte ends \
with the envelope as its last event, and without `[DONE]`. While a stream is silent it sends \
comments (`: ping`).

There are no API keys but the one for administrators (`Adapters`): elsewhere an `Authorization` \
header is taken and only tells clients apart.\
"""


def document(served: Served) -> Schema:
    """The whole document; ``served`` are the names that its examples use."""
    listed = operations(served)
    paths: dict[str, Schema] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ailiance",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": _components(listed, served),
        "security": [],
    }


def _components(listed: Sequence[Operation], served: Served) -> Schema:
    requests = request_schemas([op.body for op in listed if op.body is not None])
    answers = answer_schemas([*_models(listed), ErrorEnvelope])
    shared = requests.keys() & answers.keys()
    assert not shared, f"a request and an answer have schemas of one name: {shared}"
    model = PARAMETERS["model"]
    named = model | {"schema": model["schema"] | {"examples": list(served.models)}}
    return {
        "schemas": requests | answers,
        "headers": HEADERS,
        "parameters": PARAMETERS | {"model": named},
        "responses": statuses.responses(),
    }


def _models(listed: Sequence[Operation]) -> list[type[BaseModel]]:
    contents = [c for op in listed for answer in op.answers for c in answer.content]
    shapes = [shape for c in contents for shape in (c.schema, c.events)]
    return [shape for shape in shapes if isinstance(shape, type)]


def _operation(operation: Operation) -> Schema:
    answers = {str(answer.status): _answer(answer) for answer in operation.answers}
    refused = statuses.refusals(operation.refusals, passes_on=operation.passes_on)
    said: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [{"$ref": f"#/components/parameters/{n}"} for n in operation.parameters],
        "responses": answers | refused,
    }
    if operation.body is not None:
        said["requestBody"] = _body(operation.body)
    return {key: value for key, value in said.items() if value}


def _body(body: Body) -> Schema:
    schemas = [ref(model) for model in body.models]
    return {
        "required": True,
        "content": {
            JSON: {
                "schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
                "examples": examples_of(body.examples),
            }
        },
    }


def _answer(answer: Answer) -> Schema:
    said: Schema = {
        "description": answer.description,
        "headers": statuses.headers((*ALWAYS, *answer.headers)),
    }
    if answer.content:
        said["content"] = {content.media: _content(content) for content in answer.content}
    return said


def _content(content: Content) -> Schema:
    schema = content.schema
    said: Schema = {"schema": schema if isinstance(schema, dict) else ref(schema)}
    if content.example is not None:
        said["example"] = content.example
    if content.events is not None:
        # OpenAPI 3.2 has itemSchema for this
        said["x-event-schema"] = ref(content.events)
    return said
