"""Random JSON schemas through the ``openai`` client: every answer fits, or the schema is refused.

Many at a time, on both bases and their adapters, so that rows of different schemas, adapters and
temperatures share their batches. The models are tiny and would say anything.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator

from tests.contract.openai_client import (
    ask,
    choices_of,
    client_of,
    finish_of,
    streamed,
    text_of_chunks,
)
from tests.worker.guidance.schemas import schemas

NAMES = (
    "ailiance-apertus",
    "ailiance-devstral",
    "ailiance-apertus-electronics",
    "ailiance-apertus-spice",
    "ailiance-devstral-python",
    "ailiance-apertus-math",
    "ailiance-devstral-cpp",
)
AT_ONCE = 8
ANSWER_TOKENS, CALL_TOKENS = 300, 160
SIMPLE = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
FEW, MANY = 16, pytest.param(200, marks=pytest.mark.slow)


@dataclass(frozen=True)
class Case:
    """One question; its number decides on all but the schema."""

    number: int
    schema: Any

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "model": NAMES[self.number % len(NAMES)],
            "temperature": self.number % 3,
            "seed": self.number,
        }

    @property
    def response_format(self) -> dict[str, Any]:
        spec = {"name": "x", "schema": self.schema, "strict": self.number // 2 % 2 == 0}
        return {"type": "json_schema", "json_schema": spec}

    @property
    def tools(self) -> list[dict[str, Any]]:
        functions: list[dict[str, Any]] = [{"name": "drawn", "parameters": self.schema}]
        if self.number % 4 == 0:
            functions.append({"name": "simple", "parameters": SIMPLE})
        return [{"type": "function", "function": function} for function in functions]

    @property
    def tool_choice(self) -> Any:
        named = {"type": "function", "function": {"name": "drawn"}}
        return named if self.number % 2 else "required"


def cases(wanted: int, *, objects: bool) -> Iterator[Case]:
    """At least three for each two that are ``wanted``; the same ones each time."""
    found: dict[str, Any] = {}

    @settings(
        max_examples=10 * wanted,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(schemas())
    def draw(schema: Any) -> None:
        is_object = isinstance(schema, dict) and (
            "$ref" in schema or schema.get("type") == "object"
        )
        # response_format takes no bare true or false
        if is_object or not (objects or isinstance(schema, bool)):
            found.setdefault(json.dumps(schema), schema)

    draw()
    assert len(found) >= wanted * 3 // 2
    return map(Case, count(), found.values())


def keywords(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema
        for part in schema.values():
            yield from keywords(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from keywords(part)


def check_all(wanted, found, check) -> None:
    """``check`` them, many at a time, until so many as ``wanted`` were answered."""
    outcomes: list[bool] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while sum(outcomes) < wanted:
            batch = list(islice(found, min(2 * AT_ONCE, wanted - sum(outcomes))))
            assert batch, "too many were refused"
            outcomes += pool.map(check, batch)
    assert sum(outcomes) > 0.75 * len(outcomes)


@pytest.mark.parametrize("wanted", [FEW, MANY])
def test_every_answer_validates(url, wanted):
    with client_of(url) as client:

        def check(case: Case) -> bool:
            fields = case.fields | {"max_tokens": ANSWER_TOKENS}
            fields["response_format"] = case.response_format
            try:
                if case.number % 2:
                    chunks = streamed(client, **fields)
                    text, finish = text_of_chunks(chunks), finish_of(chunks)
                else:
                    (choice,) = ask(client, **fields).choices
                    text, finish = choice.message.content, choice.finish_reason
            except openai.BadRequestError as error:
                return refusal(error, case, "response_format")
            assert finish == "stop", (case, text)
            Draft202012Validator(case.schema).validate(json.loads(text))
            return True

        check_all(wanted, cases(wanted, objects=False), check)


def refusal(error: openai.BadRequestError, case: Case, param: str) -> bool:
    assert error.param == param, (error, case)
    assert any(name in error.message for name in keywords(case.schema)), (error, case)
    return False


@pytest.mark.parametrize("wanted", [FEW, MANY])
def test_every_call_validates(url, wanted):
    with client_of(url) as client:

        def check(case: Case) -> bool:
            fields = case.fields | {"tools": case.tools, "tool_choice": case.tool_choice}
            fields["parallel_tool_calls"] = case.number % 8 == 0  # many calls are slow
            fields["max_tokens"] = CALL_TOKENS
            try:
                (choice,) = ask(client, **fields).choices
            except openai.BadRequestError as error:
                return refusal(error, case, "tools")
            calls = choice.message.tool_calls
            assert choice.message.content is None, (case, choice)
            assert choice.finish_reason in ("tool_calls", "stop"), (case, choice)
            assert len(calls) == 1 or fields["parallel_tool_calls"]
            known = {t["function"]["name"]: t["function"]["parameters"] for t in case.tools}
            for call in calls:
                arguments = json.loads(call.function.arguments)
                assert isinstance(arguments, dict)
                Draft202012Validator(known[call.function.name]).validate(arguments)
            if case.number % 4:
                return True
            chunks = streamed(client, **fields)
            deltas = [p for c in choices_of(chunks) for p in c.delta.tool_calls or []]
            assert told(deltas) == [(c.function.name, c.function.arguments) for c in calls]
            assert finish_of(chunks) == choice.finish_reason
            return True

        check_all(wanted, cases(wanted, objects=True), check)


def told(deltas) -> list[tuple[str, str]]:
    """(name, arguments) of each streamed call."""
    calls: dict[int, tuple[str, str]] = {}
    for piece in deltas:
        name, so_far = calls.get(piece.index, (piece.function.name, ""))
        calls[piece.index] = (name, so_far + (piece.function.arguments or ""))
    return [calls[index] for index in sorted(calls)]
