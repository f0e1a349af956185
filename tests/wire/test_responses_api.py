"""Responses requests: what is honoured, what is refused and under which name."""

import json

import pytest

from wire.errors import InvalidRequest, UnsupportedField
from wire.responses_api import UNSUPPORTED_RESPONSES, parse_responses
from wire.responses_items import FunctionCallOutputItem, ItemReference, MessageItem, items_of


def parse(**fields):
    return parse_responses(json.dumps({"model": "m", "input": "hi"} | fields).encode())


def turn(*parts, role="user"):
    return [{"role": role, "content": list(parts)}]


def test_what_is_honoured():
    request = parse(
        input=[
            {"role": "developer", "content": "short"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "reasoning", "id": "rs", "summary": [], "content": None},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "3"},
        ],
        instructions="be short",
        max_output_tokens=3,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "medium"},
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": True}],
        tool_choice={
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        stream=True,
        stream_options={"include_obfuscation": False},
        metadata={"a": "b"},
        store=False,
        background=False,
        truncation="disabled",
        conversation=None,
        service_tier="auto",
        adapters="electronics",
    )
    assert [item.type for item in request.input] == [
        *("message", "message", "reasoning", "function_call", "function_call_output"),
    ]
    assert request.wants_logprobs


def test_the_kind_of_an_item_may_be_left_out():
    message, reference = parse(input=[{"role": "user", "content": "a"}, {"id": "msg_1"}]).input
    assert isinstance(message, MessageItem)
    assert isinstance(reference, ItemReference)


def test_output_may_be_parts():
    output = [{"type": "input_text", "text": t} for t in ("a", "b")]
    (item,) = items_of([{"type": "function_call_output", "call_id": "c", "output": output}])
    assert isinstance(item, FunctionCallOutputItem)
    assert item.text == "ab"


@pytest.mark.parametrize("field", sorted(UNSUPPORTED_RESPONSES))
def test_unsupported_field_passes_only_where_it_asks_for_nothing(field):
    with pytest.raises(UnsupportedField) as caught:
        parse(**{field: "something"})
    assert caught.value.param == field
    for nothing in (None, *UNSUPPORTED_RESPONSES[field]):
        parse(**{field: nothing})


FUNCTION = {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 3}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a"]}, "input[0]"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
        ({"input": [{"role": "bot", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": turn({"type": "input_image"})}, "input[0].content[0].type"),
        ({"input": turn({"type": ["x"]})}, "input[0].content[0].type"),
        ({"input": turn({"type": "input_text", "text": 1})}, "input[0].content[0].text"),
        ({"input": turn({"type": "input_text", "text": "", "x": 1})}, "input[0].content[0].x"),
        ({"input": turn({"type": "refusal", "refusal": "no"})}, "input[0]"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "reasoning", "encrypted_content": "x"}]}, "input[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [FUNCTION | {"name": "a b"}]}, "tools[0].name"),
        ({"tools": [FUNCTION | {"defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "tool_choice.type"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
        (
            {"stream": True, "stream_options": {"include_usage": True}},
            "stream_options.include_usage",
        ),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"max_output_tokens": "3"}, "max_output_tokens"),
    ],
)
def test_refused_by_name(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert caught.value.message


def test_no_input():
    with pytest.raises(InvalidRequest, match="send input"):
        parse_responses(b'{"model": "m"}')
