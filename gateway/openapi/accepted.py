"""What wire's validators take or refuse and pydantic's schema does not say.

Forms that a validator rewrites (``stop`` as a text), names that it maps (``reasoning``), and rules
between fields. Rules that JSON Schema can't say (names in ``tool_choice``) stay in words.
"""

from typing import Any

from gateway.openapi.operation import Schema
from wire.responses_api import LOGPROBS

ITEM: Schema = {
    "anyOf": [
        {"$ref": f"#/components/schemas/{name}"}
        for name in (
            "MessageItem",
            "FunctionCallItem",
            "FunctionCallOutputItem",
            "ReasoningItem",
            "ItemReference",
        )
    ]
}

REPLACED: dict[str, Schema] = {
    "stop": {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 4},
        ]
    },
    "ResponsesRequest.input": {
        "anyOf": [{"type": "string"}, {"type": "array", "items": ITEM, "minItems": 1}]
    },
}
"""Fields, or ``Model.field``, whose schema is another than that of what they become."""

ADDED: dict[str, dict[str, Schema]] = {"Message": {"reasoning": {"type": "string"}}}
"""Model -> fields that become another field."""

NOT_NULL: Schema = {"not": {"type": "null"}}


def _when(condition: Schema, then: Schema, text: str, otherwise: Schema | None = None) -> Schema:
    rule = {"description": text, "if": condition, "then": then}
    return rule if otherwise is None else rule | {"else": otherwise}


def _given(field: str, schema: Schema = NOT_NULL) -> Schema:
    """The field is there, and as ``schema`` says."""
    return {"required": [field], "properties": {field: schema}}


def _unset(field: str) -> Schema:
    return {"properties": {field: {"type": "null"}}}


def _is(field: str, value: Any) -> Schema:
    return _given(field, {"const": value})


def _is_not(field: str, value: Any) -> Schema:
    """Left out, null, or anything but ``value``."""
    return {"properties": {field: {"not": {"const": value}}}}


def _empty(*fields: str) -> Schema:
    return {"properties": {field: {"maxItems": 0, "maxLength": 0} for field in fields}}


# the fields of which one request takes one
CONSTRAINTS: dict[str, Schema] = {
    "response_format": _given(
        "response_format",
        {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": ["json_object", "json_schema"]}},
        },
    ),
    **{
        field: _given(field)
        for field in (
            "structured_outputs",
            "guided_json",
            "guided_regex",
            "guided_choice",
            "guided_grammar",
        )
    },
    "ignore_eos": _is("ignore_eos", True),
}


def _exclusive() -> list[Schema]:
    names = list(CONSTRAINTS)
    rules: list[Schema] = []
    for at, name in enumerate(names[:-1]):
        later = [CONSTRAINTS[other] for other in names[at + 1 :]]
        text = f"`{name}` excludes {', '.join(f'`{other}`' for other in names[at + 1 :])}."
        rules.append(_when(CONSTRAINTS[name], {"not": {"anyOf": later}}, text))
    return rules


_OPTIONS = _when(
    _given("stream_options"), _is("stream", True), "`stream_options` needs `stream` true."
)

_SAMPLING = [
    _OPTIONS,
    _when(
        _given("prompt_logprobs"),
        _is_not("stream", True),
        "`prompt_logprobs` can't be streamed.",
    ),
    *_exclusive(),
]

_CONTINUE = _when(
    _is("continue_final_message", True),
    _is("add_generation_prompt", False),
    "`continue_final_message` needs `add_generation_prompt` false.",
)

_CHAT = [
    *_SAMPLING,
    _CONTINUE,
    _when(_given("top_logprobs"), _is("logprobs", True), "`top_logprobs` needs `logprobs` true."),
    _when(
        _given("tool_choice", {"anyOf": [{"const": "required"}, {"type": "object"}]}),
        _given("tools", {"type": "array", "minItems": 1}),
        "`tool_choice` needs `tools`; the names in it are among them, and no two tools have "
        "one name.",
    ),
]

ONE_OF = ("json", "regex", "choice", "grammar")

RULES: dict[str, list[Schema]] = {
    "ChatRequest": _CHAT,
    "RouteRequest": _CHAT,
    "CompletionRequest": [
        *_SAMPLING,
        _when(
            _is("max_tokens", 0),
            {"anyOf": [_is("echo", True), _given("prompt_logprobs")]},
            "`max_tokens` 0 needs `echo` true, or `prompt_logprobs`.",
        ),
    ],
    "TokenizeChatRequest": [_CONTINUE],
    "ResponsesRequest": [
        _OPTIONS,
        _when(
            _given("top_logprobs", {"type": "integer", "minimum": 1}),
            _given("include", {"type": "array", "contains": {"const": LOGPROBS}}),
            f"`top_logprobs` needs `{LOGPROBS}` in `include`.",
        ),
    ],
    "TextFormat": [
        _when(
            _is("type", "json_schema"),
            {"allOf": [_given("name"), _given("schema")]},
            "`name` and `schema` go with type `json_schema`.",
            {"allOf": [_unset("name"), _unset("schema")]},
        )
    ],
    "MessageItem": [
        _when(
            {"properties": {"role": {"const": "assistant"}}},
            {},
            "A refusal belongs in an assistant message.",
            {
                "properties": {
                    "content": {"items": {"properties": {"type": {"not": {"const": "refusal"}}}}}
                }
            },
        )
    ],
    "ReasoningItem": [
        _unset("encrypted_content")
        | {"description": "`encrypted_content` of another server can't be read."}
    ],
    "ResponseFormat": [
        _when(
            _is("type", "json_schema"),
            _given("json_schema"),
            "`json_schema` goes with type `json_schema`.",
            _unset("json_schema"),
        )
    ],
    "StructuredOutputs": [
        {
            "description": "Exactly one of these is set; `json_object` false is not set.",
            "oneOf": [*(_given(field) for field in ONE_OF), _is("json_object", True)],
        }
    ],
    "Part": [
        _when(
            {"properties": {"type": {"const": kind}}},
            _given(kind, {"type": "string"}) | {"allOf": [_unset(other)]},
            f"A {kind} part holds `{kind}`, and nothing else.",
        )
        for kind, other in (("text", "refusal"), ("refusal", "text"))
    ],
    "Message": [
        _when(
            {"properties": {"role": {"const": "assistant"}}},
            {},
            "`content` is needed but of an assistant, and `tool_calls`, `refusal`, "
            "`reasoning_content` and `annotations` are an assistant's alone.",
            _given("content")
            | {
                "allOf": [
                    _empty("tool_calls", "refusal", "reasoning_content", "reasoning", "annotations")
                ]
            },
        ),
        _when(
            {"properties": {"role": {"const": "tool"}}},
            _given("tool_call_id", {"type": "string", "minLength": 1}),
            "`tool_call_id` is needed in a tool message, and only there.",
            _empty("tool_call_id"),
        ),
    ],
}
"""Model -> rules between its fields, each with its words."""
