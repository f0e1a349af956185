"""What the document calls valid is what wire takes: both judge the same odd bodies."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admin.requests import parse_load, parse_unload
from gateway.openapi.operation import JSON
from tests.gateway.openapi.made import DOCUMENT, SCHEMAS, body_validator
from wire.embeddings import parse_embedding
from wire.errors import InvalidRequest
from wire.requests import parse_chat, parse_completion, parse_route
from wire.responses_api import parse_responses
from wire.tokenize import parse_detokenize, parse_tokenize

TURN = {"role": "user", "content": "hi"}
PARSERS = {
    "/v1/chat/completions": (parse_chat, {"model": "m", "messages": [TURN]}),
    "/v1/route": (parse_route, {"model": "m", "messages": [TURN]}),
    "/v1/completions": (parse_completion, {"model": "m", "prompt": "hi"}),
    "/v1/embeddings": (parse_embedding, {"model": "m", "input": "hi"}),
    "/v1/responses": (parse_responses, {"model": "m", "input": "hi"}),
    "/tokenize": (parse_tokenize, {"prompt": "hi"}),
    "/detokenize": (parse_detokenize, {"tokens": [1]}),
    "/v1/load_lora_adapter": (parse_load, {"lora_name": "a", "lora_path": "a"}),
    "/v1/unload_lora_adapter": (parse_unload, {"lora_name": "a"}),
}
# rules that JSON Schema can't say, and that the document has in words
IN_WORDS = ("is not valid JSON", "a JSON schema is an object", "not among the tools", "one name")

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
TEXT_PART, REFUSAL_PART = {"type": "text", "text": "a"}, {"type": "refusal", "refusal": "a"}
SCHEMA_FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
NAMED = {"type": "function", "function": {"name": "f"}}
INPUT_PART = {"type": "input_text", "text": "a"}
PLAIN = [
    *(None, True, False, 0, 1, -1, 2, 3, 129, 2**63, 0.5, 2.5, -3.5),
    *("", "a", "none", "auto", "required", "text", "medium", "in_memory", "default", "disabled"),
    *([], [""], ["a"], ["a"] * 5, [0], [-1], [[1]], [[]], [None], ["text"], {}, {"a": "b"}),
]
FITTING = [
    *(TURN, [TURN], [TURN, {"role": "assistant", "tool_calls": [CALL]}], [{"role": "assistant"}]),
    *([TOOL], [TOOL | {"x": 1}], [{"type": "function", "function": {"name": "f g"}}]),
    *(NAMED, {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}),
    *({"type": "text"}, {"type": "json_object"}, SCHEMA_FORMAT, {"type": "json_schema"}),
    *({"include_usage": True}, {"include_obfuscation": False}, {"5": -100}, {"x": 1}, {"05": 1}),
    *({"regex": "a"}, {"json": {}}, {"json_object": True}, {"json_object": False}),
    *({"effort": "low"}, {"format": SCHEMA_FORMAT["json_schema"] | {"type": "json_schema"}}),
    *({"type": "function", "name": "f"}, [{"type": "function", "name": "f"}]),
    *([{"role": "user", "content": [INPUT_PART]}], ["message.output_text.logprobs"]),
]
BODIES, OBJECTS = 120, 60
VALUES = st.sampled_from([*PLAIN, *FITTING])


def objects_of(name, also=()):
    """Objects with fields of one schema, fitting or not, and now and then one unknown."""
    schema = SCHEMAS[name]["properties"]

    def values(field):
        enum = [*schema[field].get("enum", []), *_constants(schema[field])]
        return st.sampled_from([*enum, *also]) | VALUES if enum or also else VALUES

    fields = st.lists(st.sampled_from([*schema, "unknown"]), max_size=3, unique=True)
    return fields.flatmap(
        lambda names: st.fixed_dictionaries(
            {n: values(n) if n in schema else st.just(1) for n in names}
        )
    )


def _constants(schema):
    branches = [schema, *schema.get("anyOf", [])]
    return [
        v for b in branches for v in [*b.get("enum", []), *([b["const"]] if "const" in b else [])]
    ]


def judged(path, body):
    """(document, wire, wire's words)"""
    valid = body_validator(path).is_valid(body)
    try:
        PARSERS[path][0](json.dumps(body).encode())
    except InvalidRequest as error:
        return valid, False, error.message
    return valid, True, ""


def agree(path, body):
    valid, taken, words = judged(path, body)
    if valid and any(known in words for known in IN_WORDS):
        return
    assert (valid, words) == (taken, words)


def bodies(path):
    schema = DOCUMENT["paths"][path]["post"]["requestBody"]["content"][JSON]["schema"]
    names = [each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", [schema])]
    base = st.sampled_from([PARSERS[path][1], {}])
    return st.tuples(base, st.one_of([objects_of(name) for name in names])).map(
        lambda both: both[0] | both[1]
    )


@pytest.mark.parametrize("path", PARSERS)
def test_bodies(path):
    @settings(max_examples=BODIES, deadline=None, derandomize=True)
    @given(bodies(path))
    def check(body):
        agree(path, body)

    check()


HELD = {
    "Message": ("/v1/chat/completions", lambda v: {"messages": [v]}, {"role": "user"}),
    "Part": ("/v1/chat/completions", lambda v: {"messages": [TURN | {"content": [v]}]}, {}),
    "ToolCall": (
        "/v1/chat/completions",
        lambda v: {"messages": [{"role": "assistant", "tool_calls": [v]}]},
        CALL,
    ),
    "FunctionSpec": (
        "/v1/chat/completions",
        lambda v: {"tools": [{"type": "function", "function": v}]},
        {"name": "f"},
    ),
    "AllowedTools": (
        "/v1/chat/completions",
        lambda v: {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": v}},
        {"mode": "auto", "tools": [NAMED]},
    ),
    "ResponseFormat": ("/v1/chat/completions", lambda v: {"response_format": v}, {"type": "text"}),
    "JsonSchemaFormat": (
        "/v1/completions",
        lambda v: {"response_format": {"type": "json_schema", "json_schema": v}},
        {"name": "n"},
    ),
    "StructuredOutputs": ("/v1/completions", lambda v: {"structured_outputs": v}, {}),
    "StreamOptions": ("/v1/completions", lambda v: {"stream": True, "stream_options": v}, {}),
    "TextFormat": ("/v1/responses", lambda v: {"text": {"format": v}}, {"type": "text"}),
    "Reasoning": ("/v1/responses", lambda v: {"reasoning": v}, {}),
    "FunctionTool": ("/v1/responses", lambda v: {"tools": [v]}, {"type": "function", "name": "f"}),
    "MessageItem": ("/v1/responses", lambda v: {"input": [v]}, {"role": "user", "content": "a"}),
    "FunctionCallItem": (
        "/v1/responses",
        lambda v: {"input": [v]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ),
    "FunctionCallOutputItem": (
        "/v1/responses",
        lambda v: {"input": [v]},
        {"type": "function_call_output", "call_id": "c", "output": "a"},
    ),
    "ReasoningItem": ("/v1/responses", lambda v: {"input": [v]}, {"type": "reasoning"}),
    "ItemReference": ("/v1/responses", lambda v: {"input": [v]}, {"id": "a"}),
}


@pytest.mark.parametrize("name", HELD)
def test_objects_in_bodies(name):
    path, place, base = HELD[name]

    @settings(max_examples=OBJECTS, deadline=None, derandomize=True)
    @given(objects_of(name, also=(TEXT_PART, [REFUSAL_PART], [CALL])))
    def check(fields):
        agree(path, PARSERS[path][1] | place(base | fields))

    check()


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": SCHEMA_FORMAT, "guided_regex": "a"},
        {"response_format": {"type": "text"}, "guided_regex": "a"},
        {"guided_json": {}, "ignore_eos": True},
        {"guided_json": {}, "ignore_eos": None},
        {"structured_outputs": {"regex": "a"}, "guided_choice": ["a"]},
        {"top_logprobs": 2, "logprobs": True},
        {"top_logprobs": 2, "logprobs": None},
        {"stream_options": {}, "stream": True},
        {"prompt_logprobs": 1, "stream": True},
        {"continue_final_message": True},
        {"continue_final_message": True, "add_generation_prompt": False},
        {"tool_choice": "required", "tools": []},
        {"tool_choice": "required", "tools": [TOOL]},
        {"tool_choice": NAMED, "tools": [TOOL]},
        {"tool_choice": "auto", "tools": None},
        {"stop": "a"},
        {"stop": ""},
        {"store": False, "modalities": ["text"], "functions": [], "audio": None},
        {"modalities": ["audio"]},
    ],
)
def test_rules_between_fields_of_a_chat(fields):
    for path in ("/v1/chat/completions", "/v1/route"):
        agree(path, PARSERS[path][1] | fields)


def test_a_null_is_absent_but_where_a_field_is_required():
    body = PARSERS["/v1/chat/completions"][1]
    nulls = dict.fromkeys(SCHEMAS["ChatRequest"]["properties"]) | body
    assert judged("/v1/chat/completions", nulls)[:2] == (True, True)
    assert judged("/v1/chat/completions", body | {"model": None})[:2] == (False, False)
