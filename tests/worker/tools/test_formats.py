"""Parsing whole calls, rendering and instructions, format by format."""

import pytest
from mlx_lm.tool_parsers import glm47, kimi_k2

from tests.worker.tools.test_reader import APERTUS, FORMATS, GLM, MISTRAL, OLD_MISTRAL, TAGS
from tests.worker.tools.tokens import TOOLS, WEATHER
from wire.tools import CalledFunction, ToolCall
from worker.tools.formats.base import ToolFormat
from worker.tools.formats.mlx import MlxFormat
from worker.tools.grammar import Mark
from worker.tools.json_text import dumped, objects
from worker.tools.pieces import Call

ONE = [ToolCall(id="x", function=CalledFunction(name="f", arguments='{"a": 1}'))]
TWO = [*ONE, ToolCall(id="y", function=CalledFunction(name="g", arguments=""))]


@pytest.mark.parametrize(
    ("format", "text"),
    [
        (APERTUS, '<|tools_prefix|>[{"f": {"a": 1}}, {"g": {}}]<|tools_suffix|>'),
        (MISTRAL, '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{}'),
        (
            OLD_MISTRAL,
            '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]',
        ),
        (
            TAGS,
            '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
            '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
        ),
    ],
)
def test_render(format: ToolFormat, text: str) -> None:
    assert format.render(TWO) == text


@pytest.mark.parametrize("format", list(FORMATS.values()), ids=list(FORMATS))
def test_instructions_name_functions_and_marks(format: ToolFormat) -> None:
    text = format.instructions(TOOLS)
    assert format.start in text
    assert '{"name":"get_weather","description":"Weather of a city","parameters":{' in text
    assert '{"name":"now","parameters":{"type":"object","properties":{}' in text


@pytest.mark.parametrize(
    ("format", "text", "calls"),
    [
        (APERTUS, '[{"f": {"a" :1}}]', [Call("f", '{"a" :1}')]),
        (TAGS, '[{"name": "f", "arguments": {}}]', [Call("f", "{}")]),
        (TAGS, '{"name": "f", "arguments": {}, "id": ""}', [Call("f", "{}")]),
        (MISTRAL, 'f[CALL_ID]i1[ARGS]{"a": 1} ', [Call("f", '{"a": 1}', "i1")]),
    ],
)
def test_parse(format: ToolFormat, text: str, calls: list[Call]) -> None:
    assert format.parse(text, TOOLS) == calls


@pytest.mark.parametrize(
    ("format", "text"),
    [
        (APERTUS, '[{"f": {}, "g": {}}]'),
        (APERTUS, '[{"": {}}]'),
        (TAGS, ""),
        (TAGS, '{"name": "", "arguments": {}}'),
        (TAGS, '{"name": "f", "arguments": "[]"}'),
        (TAGS, '{"name": "f", "arguments": {"a": NaN}}'),
        (TAGS, '{"name": "f" "arguments": {}}'),
        (TAGS, '{1: "f"}'),
        (TAGS, '{"name": "f", "arguments": ' + '{"a":' * 100_000),
        (MISTRAL, "f[ARGS][{}]"),
        (GLM, ""),
    ],
)
def test_no_call(format: ToolFormat, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        format.parse(text, TOOLS)


def test_mlx_arguments_follow_the_schema() -> None:
    text = "get_weather<arg_key>city</arg_key><arg_value>7</arg_value>"
    assert GLM.parse(text, [WEATHER]) == [Call("get_weather", '{"city": "7"}')]


def test_mlx_ids_are_kept() -> None:
    format = MlxFormat("kimi_k2", Mark("<"), Mark(">"), kimi_k2.parse_tool_call, TAGS)
    text = 'functions.f:0<|tool_call_argument_begin|>{"a": 1}'
    assert format.parse(text, TOOLS) == [Call("f", '{"a": 1}', "functions.f:0")]


@pytest.mark.parametrize(
    "made", [None, [], 5, {"name": "f"}, {"name": "f", "arguments": {"a": {1}}}]
)
def test_what_mlx_may_return_beside_calls(made: object) -> None:
    format = MlxFormat("odd", Mark("<"), Mark(">"), lambda _text, _tools: made, TAGS)
    if made == {"name": "f"}:
        assert format.parse("", TOOLS) == [Call("f", "{}")]
        return
    with pytest.raises(ValueError, match=r"."):
        format.parse("", TOOLS)


def test_glm_reads_calls_only_of_what_names_a_function() -> None:
    assert glm47.parse_tool_call("")["name"] == "unknown"
    with pytest.raises(ValueError, match=r"."):
        GLM.parse("", TOOLS)


def test_json_sources() -> None:
    (members,) = objects(' {"a" : [1,  2], "b": {}} ')
    assert {key: member.source for key, member in members.items()} == {"a": "[1,  2]", "b": "{}"}
    with pytest.raises(ValueError, match=r"."):
        dumped({"a": float("nan")})
