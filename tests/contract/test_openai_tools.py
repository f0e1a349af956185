"""Function tools through the ``openai`` Python client. The models are tiny: form, never sense."""

import json
from typing import Literal

import jsonschema
import openai
import pytest
from pydantic import BaseModel

from tests.contract.openai_client import (
    MODEL,
    QUESTION,
    ask,
    choices_of,
    client_of,
    finish_of,
    streamed,
    text_of_chunks,
)


class Measure(BaseModel):
    """Reads one instrument."""

    quantity: Literal["voltage", "current", "power"]
    average: bool


class Switch(BaseModel):
    """Switches the supply."""

    on: bool


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    parameters["additionalProperties"] = False
    function = {"name": name, "description": f"Calls {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


UNITS = {"type": "string", "enum": ["V", "A", "W"]}
TOOLS = [
    tool("measure", unit=UNITS, average={"type": "boolean"}),
    tool("switch-off"),
    tool("set_range", unit=UNITS, steps={"type": "array", "items": UNITS, "maxItems": 2}),
]
SCHEMAS = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}
NAMED = {"type": "function", "function": {"name": "set_range"}}
STRICT = [openai.pydantic_function_tool(Measure), openai.pydantic_function_tool(Switch)]
MODELS = (MODEL, "ailiance-devstral", "ailiance-apertus-electronics")


@pytest.fixture
def client(url):
    with client_of(url) as client:
        yield client


def check_calls(message, names=tuple(SCHEMAS)):
    """A message of well-formed calls of these functions, and nothing else; the calls."""
    assert message.content is None
    assert len({call.id for call in message.tool_calls}) == len(message.tool_calls) > 0
    for call in message.tool_calls:
        assert call.id
        assert call.type == "function"
        assert call.function.name in names
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
    return message.tool_calls


def told(calls):
    return [(call.function.name, call.function.arguments) for call in calls]


@pytest.mark.parametrize("model", MODELS)
def test_required_is_a_call(client, model):
    (choice,) = ask(client, model=model, tools=TOOLS, tool_choice="required").choices
    check_calls(choice.message)
    assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize("seed", range(3))
def test_required_holds_however_it_is_drawn(client, seed):
    answer = ask(client, tools=TOOLS, tool_choice="required", temperature=2, seed=seed)
    check_calls(answer.choices[0].message)


@pytest.mark.parametrize("model", MODELS)
def test_named_is_that_call(client, model):
    (choice,) = ask(client, model=model, tools=TOOLS, tool_choice=NAMED).choices
    (call,) = check_calls(choice.message)
    assert call.function.name == "set_range"
    assert choice.finish_reason in ("tool_calls", "stop")  # OpenAI says "stop" for a named one


def test_allowed_tools_are_the_only_ones(client):
    allowed = {"mode": "required", "tools": [NAMED, {**NAMED, "function": {"name": "measure"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    for seed in range(3):
        answer = ask(client, tools=TOOLS, tool_choice=choice, temperature=2, seed=seed)
        check_calls(answer.choices[0].message, ("set_range", "measure"))


def test_not_parallel_is_one_call(client):
    fields = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    for seed in range(3):
        answer = ask(client, temperature=2, seed=seed, **fields)
        assert len(check_calls(answer.choices[0].message)) == 1


def test_none_is_no_call(client):
    (choice,) = ask(client, tools=TOOLS, tool_choice="none", max_tokens=16).choices
    assert choice.message.tool_calls is None
    assert choice.message.content
    assert choice.finish_reason in ("stop", "length")


@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}])
def test_auto_is_the_models_own_choice(client, choice):
    answer = ask(client, tools=TOOLS, max_tokens=16, **choice)
    message, finish = answer.choices[0].message, answer.choices[0].finish_reason
    assert message.content or message.tool_calls
    assert (finish == "tool_calls") is bool(message.tool_calls)
    alone = ask(client, max_tokens=16)
    assert answer.usage.prompt_tokens > alone.usage.prompt_tokens  # the tools stand in the prompt


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize("model", MODELS)
def test_streamed_calls_are_the_plain_ones(client, model, choice):
    fields = {"model": model, "tools": TOOLS, "tool_choice": choice}
    (plain,) = ask(client, **fields).choices
    chunks = streamed(client, **fields)
    deltas = [c.delta for c in choices_of(chunks)]
    assert deltas[0].role == "assistant"
    assert text_of_chunks(chunks) == ""
    assert finish_of(chunks) == plain.finish_reason
    pieces = [call for delta in deltas for call in delta.tool_calls or []]
    assert told_by(pieces) == told(plain.message.tool_calls)


def told_by(pieces):
    """(name, arguments) of each streamed call; id, type and name come once, first, in order."""
    calls: list[tuple[str, str]] = []
    ids = set()
    for piece in pieces:
        if piece.index == len(calls):
            assert piece.id not in (None, "", *ids)
            ids.add(piece.id)
            assert piece.type == "function"
            calls.append((piece.function.name, piece.function.arguments or ""))
            continue
        assert piece.index == len(calls) - 1
        assert (piece.id, piece.function.name) == (None, None)
        calls[-1] = (calls[-1][0], calls[-1][1] + piece.function.arguments)
    return calls


@pytest.mark.parametrize("model", MODELS)
def test_round_trip(client, model):
    """Call, the tool's answer, the model's answer, one more question."""
    answer = ask(client, model=model, tools=TOOLS, tool_choice="required")
    message = answer.choices[0].message
    turns = [*QUESTION, message]  # as the client gave it
    for call in message.tool_calls:
        turns.append({"role": "tool", "tool_call_id": call.id, "content": '{"value": 3.3}'})
    fields = {"model": model, "tools": TOOLS, "max_tokens": 16}
    second = ask(client, messages=turns, tool_choice="none", **fields)
    assert second.choices[0].message.content
    alone = ask(client, tool_choice="none", **fields)
    assert second.usage.prompt_tokens > alone.usage.prompt_tokens  # both turns are in the prompt
    turns += [second.choices[0].message, {"role": "user", "content": "And at 5 V?"}]
    assert ask(client, messages=turns, **fields).choices


def test_a_strict_function_is_parsed(client):
    answer = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, tools=STRICT, tool_choice="required", max_tokens=256
    )
    message = answer.choices[0].message
    for call in message.tool_calls:
        assert isinstance(call.function.parsed_arguments, Measure | Switch)
    parts = [{"type": "text", "text": "3.3 V"}]
    results = [{"role": "tool", "tool_call_id": c.id, "content": parts} for c in message.tool_calls]
    # this client sends "parsed" and "parsed_arguments" along when it sends such a turn back
    turns = [*QUESTION, message.model_dump(warnings=False), *results]
    assert ask(client, messages=turns, tools=STRICT, tool_choice="none", max_tokens=8).choices


def test_the_stream_helper_gathers_calls(client):
    fields = {"model": MODEL, "messages": QUESTION, "tools": STRICT, "tool_choice": "required"}
    with client.chat.completions.stream(**fields, max_tokens=256, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert all(isinstance(c.function.parsed_arguments, Measure | Switch) for c in calls)
    kind = "tool_calls.function.arguments"
    done = [e for e in events if e.type == f"{kind}.done"]
    assert [(e.name, e.arguments) for e in done] == told(calls)
    for event in done:
        pieces = [e for e in events if e.type == f"{kind}.delta" and e.index == event.index]
        assert "".join(e.arguments_delta for e in pieces) == event.arguments


def test_calls_of_several_choices(client):
    fields = {"tools": TOOLS, "tool_choice": "required", "n": 2}
    answer = ask(client, **fields)
    for choice in answer.choices:
        check_calls(choice.message)
    first, second = (told(choice.message.tool_calls) for choice in answer.choices)
    assert first == second
    chunks = streamed(client, **fields)
    for index in range(2):
        pieces = [p for c in choices_of(chunks, index) for p in c.delta.tool_calls or []]
        assert told_by(pieces) == first


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {**NAMED, "function": {"name": "fly"}}}, "tool_choice"),
        ({"tools": [tool("no spaces")]}, "tools[0].function.name"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [tool("odd", x={"type": "nonsense"})], "tool_choice": "required"}, "tools"),
        ({"functions": [TOOLS[0]["function"]]}, "functions"),
    ],
)
def test_bad_tools_are_named(client, fields, name):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert name in (caught.value.param or caught.value.message)
    assert caught.value.type == "invalid_request_error"


def test_a_tool_turn_answers_a_call(client):
    lost = [*QUESTION, {"role": "tool", "content": "3.3 V"}]
    with pytest.raises(openai.BadRequestError, match="tool_call_id"):
        ask(client, messages=lost, tools=TOOLS)
