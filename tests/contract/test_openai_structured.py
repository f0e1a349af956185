"""Structured outputs through the ``openai`` Python client: every answer has the form asked for."""

import json
import re
from typing import Annotated, Literal

import jsonschema
import openai
import pytest
from pydantic import BaseModel, Field

from tests.contract.openai_client import (
    MODEL,
    QUESTION,
    ask,
    client_of,
    finish_of,
    streamed,
    text_of_chunks,
)


class Part(BaseModel):
    kind: Literal["resistor", "capacitor"]
    critical: bool


class Board(BaseModel):
    """Nested, with $defs, an enum, bounds and null; short whatever the model would like."""

    layers: Annotated[int, Field(ge=1, le=8)]
    parts: Annotated[list[Part], Field(max_length=2)]
    note: Literal["ok", "à revoir"] | None


SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "unit": {"enum": ["V", "A", "Ω"]}},
    "required": ["ok", "unit"],
    "additionalProperties": False,
}
CHOICES = ["yes", "no", "not sure", "30 µF"]
REGEX = r"[A-F]{3}-[0-9]{2,4}"
LARK = 'start: STATE " at " /[1-9][0-9]?/ " V"\nSTATE: "on" | "off"'
GBNF = 'root ::= state " at " [1-9] " V"\nstate ::= "on" | "off"'
MODELS = (MODEL, "ailiance-devstral", "ailiance-apertus-electronics")


def schema_format(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


def is_json(text):
    jsonschema.validate(json.loads(text), SCHEMA)


def is_choice(text):
    assert text in CHOICES


def is_match(text):
    assert re.fullmatch(REGEX, text)


def is_state(text):
    assert re.fullmatch("(on|off) at [1-9][0-9]? V", text)


def outputs(**constraint):
    return {"extra_body": {"structured_outputs": constraint}}


CONSTRAINED = [
    ({"response_format": schema_format(SCHEMA, strict=True)}, is_json),
    ({"response_format": schema_format(SCHEMA)}, is_json),
    (outputs(json=SCHEMA), is_json),
    (outputs(json=json.dumps(SCHEMA)), is_json),
    (outputs(choice=CHOICES), is_choice),
    (outputs(regex=REGEX), is_match),
    (outputs(grammar=LARK), is_state),
    (outputs(grammar=GBNF), is_state),
    ({"extra_body": {"guided_json": SCHEMA}}, is_json),
    ({"extra_body": {"guided_choice": CHOICES}}, is_choice),
    ({"extra_body": {"guided_regex": REGEX}}, is_match),
    ({"extra_body": {"guided_grammar": LARK}}, is_state),
]
NAMES = ["strict schema", "schema", "json", "json text", "choice", "regex", "lark", "gbnf"]
NAMES += ["guided_json", "guided_choice", "guided_regex", "guided_grammar"]


@pytest.fixture
def client(url):
    with client_of(url) as client:
        yield client


@pytest.mark.parametrize(("fields", "check"), CONSTRAINED, ids=NAMES)
def test_answers_have_the_form(client, fields, check):
    (plain,) = ask(client, **fields).choices
    check(plain.message.content)
    assert plain.finish_reason == "stop"
    chunks = streamed(client, **fields)
    assert text_of_chunks(chunks) == plain.message.content
    assert finish_of(chunks) == "stop"


@pytest.mark.parametrize(("fields", "check"), CONSTRAINED[:7:2], ids=NAMES[:7:2])
def test_they_have_it_however_they_are_drawn(client, fields, check):
    answer = ask(client, temperature=2, seed=3, n=4, **fields)
    for choice in answer.choices:
        check(choice.message.content)


@pytest.mark.parametrize("model", MODELS)
def test_parse_gives_the_model(client, model):
    fields = {"model": model, "messages": QUESTION, "max_tokens": 256, "temperature": 0}
    answer = client.chat.completions.parse(**fields, response_format=Board)
    message = answer.choices[0].message
    assert isinstance(message.parsed, Board)
    assert (message.refusal, message.tool_calls) == (None, None)
    # this client sends "parsed" along when it sends such a turn back
    turns = [*QUESTION, message.model_dump(warnings=False), *QUESTION]
    assert ask(client, model=model, messages=turns, max_tokens=4).choices


def test_the_stream_helper_parses(client):
    fields = {"model": MODEL, "messages": QUESTION, "max_tokens": 256, "temperature": 0}
    with client.chat.completions.stream(**fields, response_format=Board) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    text = final.choices[0].message.content
    assert isinstance(final.choices[0].message.parsed, Board)
    assert "".join(e.delta for e in events if e.type == "content.delta") == text
    (done,) = (e for e in events if e.type == "content.done")
    assert (done.content, done.parsed) == (text, final.choices[0].message.parsed)


def test_keys_come_in_the_schemas_order(client):
    keys = ["zeta", "alpha", "mid"]
    schema = {**SCHEMA, "properties": {k: {"type": "null"} for k in keys}, "required": keys}
    answer = ask(client, response_format=schema_format(schema, strict=True))
    assert list(json.loads(answer.choices[0].message.content)) == keys


def test_a_json_object(client, http):
    """Left to itself a tiny model need not end one; the end is made likely."""
    told = http.post("/tokenize", json={"model": MODEL, "prompt": "}", "add_special_tokens": False})
    (closing,) = told.json()["tokens"]
    fields = {"response_format": {"type": "json_object"}, "logit_bias": {str(closing): 100}}
    for seed in range(3):
        (choice,) = ask(client, temperature=1, seed=seed, **fields).choices
        assert isinstance(json.loads(choice.message.content), dict)
        assert choice.finish_reason == "stop"


def test_an_answer_cut_short_says_so(client):
    fields = {"model": MODEL, "messages": QUESTION, "max_tokens": 2, "temperature": 0}
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(**fields, response_format=Board)


def test_text_is_no_constraint(client):
    formats = ({"type": "text"}, openai.omit)
    first, second = (ask(client, max_tokens=8, response_format=f) for f in formats)
    assert first.choices[0].message.content == second.choices[0].message.content


def test_one_batch_of_constrained_and_free_choices(client):
    """Rows of one batch do not share a constraint: alone they answer the same."""
    with_prompts = {"model": MODEL, "prompt": ["An", "A filter"], "max_tokens": 32}
    constraint = {"structured_outputs": {"choice": CHOICES}}
    answer = client.completions.create(**with_prompts, temperature=0, extra_body=constraint)
    assert {choice.text for choice in answer.choices} <= set(CHOICES)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": schema_format({"type": "nonsense"})}, "response_format"),
        ({"response_format": schema_format({"$ref": "#/$defs/lost"})}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "yaml"}}, "response_format"),
        (outputs(json="{"), "structured_outputs"),
        (outputs(regex="(a"), "structured_outputs"),
        (outputs(grammar="start: lost"), "structured_outputs"),
        (outputs(choice=[]), "structured_outputs"),
        (outputs(regex="a", choice=["a"]), "structured_outputs"),
        ({"extra_body": {"guided_regex": "(a"}}, "guided_regex"),
        ({"extra_body": {"guided_regex": "a", "guided_choice": ["a"]}}, "guided_"),
        ({"extra_body": {"guided_regex": "a", "ignore_eos": True}}, "ignore_eos"),
    ],
)
def test_what_cannot_be_compiled_is_named(client, fields, param):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, stream=stream, **fields)
        assert caught.value.param.startswith(param)
        assert caught.value.type == "invalid_request_error"
