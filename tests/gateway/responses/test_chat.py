"""A Responses request as a chat request, by tables."""

import json

import pytest

from gateway.responses.chat import chat_of, messages_of
from wire.errors import InvalidRequest
from wire.responses_api import parse_responses
from wire.responses_items import items_of


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def thought(text):
    return {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
    }


def called(call_id):
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def answered(call_id):
    return {"type": "function_call_output", "call_id": call_id, "output": "3"}


def call(call_id):
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def chat(**fields):
    request = parse_responses(json.dumps({"model": "m", "input": "hi"} | fields).encode())
    items = request.input if isinstance(request.input, list) else items_of([user(request.input)])
    return chat_of(request, items).model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("items", "turns"),
    [
        ([user("a")], [user("a")]),
        (
            [user("a"), said("b"), user("c")],
            [user("a"), {"role": "assistant", "content": "b"}, user("c")],
        ),
        (
            [
                user("a"),
                thought("t"),
                said("b"),
                called("1"),
                called("2"),
                answered("1"),
                answered("2"),
            ],
            [
                user("a"),
                {
                    "role": "assistant",
                    "reasoning_content": "t",
                    "content": "b",
                    "tool_calls": [call("1"), call("2")],
                },
                {"role": "tool", "tool_call_id": "1", "content": "3"},
                {"role": "tool", "tool_call_id": "2", "content": "3"},
            ],
        ),
        (
            [thought("t"), called("1"), answered("1")],
            [
                {
                    "role": "assistant",
                    "reasoning_content": "t",
                    "tool_calls": [call("1")],
                },
                {"role": "tool", "tool_call_id": "1", "content": "3"},
            ],
        ),
        # a second text, or thoughts after a text, begin a turn of their own
        ([said("a"), said("b")], [{"role": "assistant", "content": t} for t in "ab"]),
        (
            [said("a"), thought("t")],
            [
                {"role": "assistant", "content": "a"},
                {"role": "assistant", "reasoning_content": "t", "content": ""},
            ],
        ),
    ],
)
def test_turns(items, turns):
    assert messages_of(None, items_of(items)) == turns


def test_parts_and_instructions():
    parts = [{"type": "input_text", "text": t} for t in "ab"]
    turns = messages_of("short", items_of([{"role": "user", "content": parts}]))
    assert turns == [
        {"role": "system", "content": "short"},
        {"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]},
    ]
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert messages_of(None, items_of([refused]))[0]["content"] == [
        {"type": "refusal", "refusal": "no"}
    ]


def test_nothing_is_set_that_the_client_did_not_set():
    assert set(chat()) == {"model", "messages"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_output_tokens": 3}, {"max_completion_tokens": 3}),
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"store": True, "metadata": {"a": "b"}, "previous_response_id": "r"}, {}),
        ({"user": "u", "prompt_cache_key": "k"}, {"user": "u", "prompt_cache_key": "k"}),
        ({"text": {"format": {"type": "text"}}}, {}),
        (
            {"text": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "n",
                        "schema": {"a": 1},
                        "strict": True,
                    }
                }
            },
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True},
                }
            },
        ),
        (
            {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
            {"logprobs": True, "top_logprobs": 2},
        ),
        ({"parallel_tool_calls": False}, {}),
        ({"stream": True, "stream_options": {"include_obfuscation": False}}, {"stream": True}),
        ({"adapters": "x"}, {"adapters": "x"}),
    ],
)
def test_fields(fields, expected):
    found = chat(**fields)
    assert {k: v for k, v in found.items() if k not in ("model", "messages")} == expected


NAMED = {"type": "function", "name": "f"}
NESTED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", "required"),
        (NAMED, NESTED),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [NAMED]},
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NESTED]}},
        ),
    ],
)
def test_tools(choice, expected):
    tool = {"description": "d", "parameters": {"type": "object"}, "strict": True}
    found = chat(tools=[NAMED | tool], tool_choice=choice, parallel_tool_calls=False)
    assert found["tools"] == [{"type": "function", "function": {"name": "f"} | tool}]
    assert found["tool_choice"] == expected
    assert found["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tools": [NAMED], "tool_choice": NAMED | {"name": "g"}},
        {"tools": [NAMED, NAMED]},
        {"input": [user("a"), called("1")]},
        {"input": [answered("1"), called("1")]},
        {"input": [called("1"), answered("2")]},
    ],
)
def test_what_does_not_fit_together(fields):
    with pytest.raises(InvalidRequest):
        chat(**fields)
