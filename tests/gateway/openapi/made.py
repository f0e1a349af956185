"""The document of the tests' fleet, and its schemas as validators."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from fleet.names import Names
from gateway.openapi import Served, document
from gateway.openapi.operation import JSON
from gateway.routes.docs import served_of
from tests.gateway.harness import make_fleet

FLEET = make_fleet()
SERVED: Served = served_of(FLEET, Names(FLEET))
DOCUMENT: dict[str, Any] = document(SERVED)
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema that may refer to the document's components."""
    whole = {"allOf": [schema], "components": DOCUMENT["components"]}
    return Draft202012Validator(whole)


@cache
def body_validator(path: str) -> Draft202012Validator:
    """Of the bodies that a path takes."""
    return validator(DOCUMENT["paths"][path]["post"]["requestBody"]["content"][JSON]["schema"])


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, said)
        for path, methods in DOCUMENT["paths"].items()
        for method, said in methods.items()
    ]
