"""Answers drawn at random validate against the client's schema, or the schema is refused."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.worker.guidance.conftest import Dice
from tests.worker.guidance.schemas import schemas
from wire.errors import InvalidRequest
from wire.structured import Constraint, canonical
from worker.guidance.errors import GrammarError
from worker.guidance.grammars import grammar_of
from worker.guidance.schemas import enforceable


def constraint(schema: Any) -> Constraint:
    return Constraint("json_schema", canonical(schema), "response_format")


@pytest.mark.parametrize("count", [50, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["apertus", "devstral"])
def test_every_answer_validates_or_the_schema_is_refused(dice: Any, name: str, count: int) -> None:
    made: Dice = dice(name)

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(schemas(), st.integers(0, 2**31))
    def check(schema: dict[str, Any], seed: int) -> None:
        try:
            guide = made.compiler.compile(grammar_of(constraint(schema)))
        except (InvalidRequest, GrammarError) as error:
            event(f"refused: {str(error)[:60]}")
            return
        answer = made.answer(guide, 400, seed)
        assert answer.finished, (schema, answer.text)
        jsonschema.validate(json.loads(answer.text), schema, cls=jsonschema.Draft202012Validator)
        event("answered")

    check()


REFUSED = {
    "not": {"not": {"type": "string"}},
    "if": {"if": {"type": "string"}, "then": {"minLength": 2}},
    "contains": {"type": "array", "contains": {"type": "integer"}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "minProperties": {"type": "object", "minProperties": 2},
    "unevaluatedProperties": {"allOf": [{}], "unevaluatedProperties": False},
    "propertyNames": {"propertyNames": {"maxLength": 3}},
    "format": {"type": "string", "format": "json-pointer"},
    "$ref": {"$ref": "https://example.com/schema"},
    "$dynamicRef": {"$dynamicRef": "#a"},
    "maximum": {"type": "integer", "maximum": 2**60},
    "const": {"const": [2**60 + 1]},
    "x-guidance": {"x-guidance": {"lenient": True}, "not": {"type": "string"}},
}


@pytest.mark.parametrize("keyword", REFUSED)
def test_what_cannot_be_enforced_is_refused_by_name(keyword: str) -> None:
    named = "not" if keyword == "x-guidance" else keyword
    with pytest.raises(InvalidRequest) as raised:
        grammar_of(constraint(REFUSED[keyword]))
    assert raised.value.param == "response_format"
    assert named in raised.value.message


@pytest.mark.parametrize(
    ("given_schema", "enforced"),
    [
        ({"title": "x", "examples": [1], "nullable": True, "format": "int32"}, {}),
        ({"uniqueItems": True, "maxItems": 1}, {"maxItems": 1}),
        ({"required": ["a", "b"], "minProperties": 2}, {"required": ["a", "b"]}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"items": [{}]}, {"prefixItems": [{}], "items": True}),
        (
            {"propertyNames": {"enum": ["a"]}},
            {"properties": {"a": True}, "additionalProperties": False},
        ),
        (
            {"dependentRequired": {"a": ["b"]}},
            {"allOf": [{"anyOf": [{"properties": {"a": False}}, {"required": ["b"]}]}]},
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ),
        (
            {"oneOf": [{"type": "number"}, {"type": "integer"}]},
            {"oneOf": [{"type": "number"}, {"type": "integer"}]},
        ),
    ],
)
def test_rewriting(given_schema: Any, enforced: Any) -> None:
    assert enforceable(given_schema) == enforced
