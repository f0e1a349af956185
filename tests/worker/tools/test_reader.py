"""The streaming reader: tables of answers, and that cutting the text changes nothing."""

import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.tool_parsers import glm47

from tests.worker.tools.tokens import TOOLS
from wire.tools import CalledFunction, FunctionSpec, ToolCall
from worker.tools.choose import Marks
from worker.tools.formats.apertus import Apertus
from worker.tools.formats.base import ToolFormat
from worker.tools.formats.json_tags import JsonTags
from worker.tools.formats.mistral import Mistral
from worker.tools.formats.mlx import MlxFormat
from worker.tools.grammar import Mark
from worker.tools.pieces import (
    CallArguments,
    CallBegin,
    Content,
    Piece,
    Reasoning,
    merged,
)
from worker.tools.reader import Reader, new_call_id

TAGS = JsonTags("plain", Mark("<tool_call>"), Mark("</tool_call>"))
APERTUS = Apertus("apertus", Mark("<|tools_prefix|>"), Mark("<|tools_suffix|>"))
MISTRAL = Mistral("mistral", Mark("[TOOL_CALLS]"), Mark(""), Mark("[ARGS]"))
OLD_MISTRAL = Mistral("mistral", Mark("[TOOL_CALLS]"), Mark(""), None)
GLM = MlxFormat("glm47", Mark("<tool_call>"), Mark("</tool_call>"), glm47.parse_tool_call, TAGS)
FORMATS = {
    "tags": TAGS,
    "apertus": APERTUS,
    "mistral": MISTRAL,
    "old_mistral": OLD_MISTRAL,
    "glm": GLM,
}


def reader(
    format: ToolFormat | None, *, tools: Sequence[FunctionSpec] = TOOLS, in_reasoning: bool = False
) -> Reader:
    ids = (f"id{at}" for at in itertools.count())
    start, end = (format.start, format.end) if format else ("", "")
    think = (
        ("<|inner_prefix|>", "<|inner_suffix|>") if format is APERTUS else ("<think>", "</think>")
    )
    marks = Marks(start, end, *think)
    return Reader(marks, format, tools, in_reasoning=in_reasoning, new_id=lambda: next(ids))


def read(
    format: ToolFormat | None, parts: Sequence[str] | str, *, in_reasoning: bool = False
) -> list[Piece]:
    """Given a text: in one go, which must be the same as letter by letter."""
    if isinstance(parts, str):
        whole = read(format, [parts], in_reasoning=in_reasoning)
        assert read(format, list(parts), in_reasoning=in_reasoning) == whole
        return whole
    one = reader(format, in_reasoning=in_reasoning)
    pieces = [piece for part in parts for piece in one.feed(part)]
    pieces += one.end()
    assert one.calls == sum(isinstance(piece, CallBegin) for piece in pieces)
    return merged(pieces)


def call(index: int, name: str, arguments: str, id: str | None = None) -> list[Piece]:
    begin = CallBegin(index, id or f"id{index}", name)
    return [begin, CallArguments(index, arguments)] if arguments else [begin]


WELL_FORMED = [
    ("tags", '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>', ["f", '{"a": 1}']),
    ("tags", '<tool_call>\n{"name":"f","arguments":{}}\n</tool_call>\n', ["f", "{}"]),
    ("tags", '<tool_call>{"arguments": {"a" : 1}, "name": "f"}</tool_call>', ["f", '{"a" : 1}']),
    ("tags", '<tool_call>{"name": "f"}</tool_call>', ["f", "{}"]),
    (
        "tags",
        '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
        ["f", '{"a": 1}'],
    ),
    ("tags", '<tool_call>{"name": "f", "arguments": {}, "more": 1}</tool_call>', ["f", "{}"]),
    # left off: the end mark, or the last bracket
    ("tags", '<tool_call>{"name": "f", "arguments": {"a": 1}}', ["f", '{"a": 1}']),
    ("tags", '<tool_call>{"arguments": {}, "name": "f"}', ["f", "{}"]),
    ("tags", '<tool_call>{"name": "f", "arguments": {"a": 1}</tool_call>', ["f", '{"a": 1}']),
    # an end mark inside a string is text
    (
        "tags",
        '<tool_call>{"name": "f", "arguments": {"a": "\\"</tool_call>{"}}</tool_call>',
        ["f", '{"a": "\\"</tool_call>{"}'],
    ),
    ("apertus", '<|tools_prefix|>[{"f": {"a": [1, 2]}}]<|tools_suffix|>', ["f", '{"a": [1, 2]}']),
    ("apertus", '<|tools_prefix|>[{"f": {}}]', ["f", "{}"]),
    (
        "apertus",
        ' \n<|tools_prefix|>[{"f": {}}, {"now": null}]<|tools_suffix|>',
        ["f", "{}", "now", "{}"],
    ),
    ("apertus", '<|tools_prefix|> [ {"f": null} ] <|tools_suffix|>', ["f", "{}"]),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"a": [[1]]}', ["f", '{"a": [[1]]}']),
    (
        "mistral",
        '[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g-2[ARGS] {"b": {}}',
        ["f", "{}", "g-2", '{"b": {}}'],
    ),
    (
        "mistral",
        '[TOOL_CALLS] [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"a": 1}}]',
        ["f", "{}", "g", '{"a": 1}'],
    ),
    ("mistral", '[TOOL_CALLS][{"arguments": {}, "name": "f"}]', ["f", "{}"]),
    (
        "glm",
        "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
        ["f", '{"a": 1}'],
    ),
]


@pytest.mark.parametrize(("format", "text", "calls"), WELL_FORMED)
def test_calls(format: str, text: str, calls: list[str]) -> None:
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    expected = [p for at, (name, args) in enumerate(pairs) for p in call(at, name, args)]
    assert read(FORMATS[format], text) == expected


NO_CALLS = [
    ("tags", "<tool_call>never mind</tool_call>"),
    ("tags", '  <tool_call>{"name": 5}</tool_call> '),
    ("tags", '<tool_call>{"name": "f", "arguments": 5}</tool_call>'),
    (
        "tags",
        '<tool_call>{"name": "f", "arguments": {"a": NaN}, "arguments": [1]}</tool_call>x'[:30],
    ),
    ("tags", '<tool_call>{"name": "f", "argu'),
    ("tags", '<tool_call>{"name": "f"} and so on</tool_call>'),
    ("tags", "a < b <tool"),
    ("tags", "</tool_call> </think>"),
    ("apertus", "<|tools_prefix|>[]<|tools_suffix|>"),
    ("apertus", '<|tools_prefix|>[{"f": 1}]<|tools_suffix|>'),
    ("apertus", "<|tools_prefix|>[invalid json <|tools_suffix|>"),
    ("mistral", "[TOOL_CALLS]"),
    ("mistral", "[TOOL_CALLS]f g[ARGS]{}"),
    ("mistral", "[TOOL_CALLS]f[ARGS]text"),
    ("glm", "<tool_call></tool_call>"),
    ("glm", "<tool_call>f<arg_key>a</arg_key>"),
    ("tags", "   \n"),
    ("tags", "<tool_call>" + '{"name": "' + "n" * 3000 + '"'),
]


@pytest.mark.parametrize(("format", "text"), NO_CALLS)
def test_what_is_no_call_is_content(format: str, text: str) -> None:
    assert read(FORMATS[format], text) == [Content(text)]


BROKEN = [
    ("tags", '<tool_call>{"name": "f", "arguments": {"a": ', '{"a": '),
    ("tags", '<tool_call>{"name": "f", "arguments": {"a": 1</tool_call>', '{"a": 1'),
    ("tags", '<tool_call>{"name": "f", "arguments": {"a\\', '{"a\\'),
    ("tags", '<tool_call>{"name": "f", "arguments": {}} or so</tool_call>', "{}} or so"),
    ("tags", '<tool_call>{"name": "f", "arguments": {}, "x', '{}, "x'),
    ("apertus", '<|tools_prefix|>[{"f": {}}, {}]<|tools_suffix|>', "{}}, {}]"),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"a": [', '{"a": ['),
]


@pytest.mark.parametrize(("format", "text", "arguments"), BROKEN)
def test_a_call_that_breaks_after_it_began(format: str, text: str, arguments: str) -> None:
    assert read(FORMATS[format], text) == call(0, "f", arguments)


def test_a_new_call_ends_a_broken_one() -> None:
    text = '[TOOL_CALLS]f[ARGS]{"a": 1[TOOL_CALLS]now[ARGS]{}'
    assert read(MISTRAL, text) == [*call(0, "f", '{"a": 1'), *call(1, "now", "{}")]


def test_a_call_behind_a_mark_that_was_none() -> None:
    text = '<tool_call> is a tag. <tool_call>{"name": "now", "arguments": {}}</tool_call>'
    assert read(TAGS, text) == [Content("<tool_call> is a tag. "), *call(0, "now", "{}")]


def test_content_around_calls() -> None:
    one = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    assert read(TAGS, f"Sure.\n{one}\n{one}\nDone.") == [
        Content("Sure.\n"),
        *call(0, "now", "{}"),
        *call(1, "now", "{}"),
        Content("\nDone."),
    ]


def test_the_models_own_id() -> None:
    text = "[TOOL_CALLS]now[CALL_ID]abc123DEF[ARGS]{}"
    assert read(MISTRAL, text) == call(0, "now", "{}", "abc123DEF")
    text = '<tool_call>{"id": "own", "name": "now", "arguments": {}}</tool_call>'
    assert read(TAGS, text) == call(0, "now", "{}", "own")


def test_arguments_stream_as_they_come() -> None:
    one = reader(TAGS)
    assert one.feed('<tool_call>{"name": "now", "arguments": ') == []
    assert one.feed('{"a') == [CallBegin(0, "id0", "now"), CallArguments(0, '{"a')]
    assert one.feed('": 1}') == [CallArguments(0, '": 1}')]
    assert one.feed("}</tool_call>") == []
    assert one.end() == []


def test_content_streams_as_it_comes() -> None:
    one = reader(TAGS)
    assert one.feed("a <") == [Content("a ")]
    assert one.feed("b") == [Content("<b")]


REASONING = [
    (False, "<think>hm</think>\n\nYes", [Reasoning("hm"), Content("\n\nYes")]),
    (False, "\n<think>hm</think>\n", [Reasoning("hm")]),
    (True, "hm</think>Yes", [Reasoning("hm"), Content("Yes")]),
    (True, "hm", [Reasoning("hm")]),
    (True, "a</thi", [Reasoning("a</thi")]),
    (False, "<think", [Content("<think")]),
    (False, "I <think>hm</think>", [Content("I <think>hm</think>")]),
    (False, "<think>hm <tool_call>", [Reasoning("hm <tool_call>")]),
]


@pytest.mark.parametrize(("opened", "text", "pieces"), REASONING)
def test_reasoning(opened: bool, text: str, pieces: list[Piece]) -> None:
    assert read(TAGS, text, in_reasoning=opened) == pieces


def test_calls_inside_the_reasoning_of_apertus() -> None:
    text = '<|inner_prefix|>hm<|tools_prefix|>[{"now": {}}]<|tools_suffix|>so<|inner_suffix|>Noon.'
    expected = [Reasoning("hm"), *call(0, "now", "{}"), Reasoning("so"), Content("Noon.")]
    assert read(APERTUS, text) == expected


def test_without_tools_or_format_there_are_no_calls() -> None:
    text = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    assert read(None, text) == [Content(text)]
    one = reader(TAGS, tools=())
    assert [*one.feed(text), *one.end()] == [Content(text)]


def test_ids_are_as_openai_makes_them() -> None:
    assert len(new_call_id()) == len("call_") + 24
    assert new_call_id() != new_call_id()


FRAGMENTS = st.sampled_from(
    [
        "<tool_call>", "</tool_call>", "<|tools_prefix|>", "<|tools_suffix|>", "[TOOL_CALLS]",
        "[ARGS]", "[CALL_ID]", "<think>", "</think>", "<|inner_prefix|>", "<|inner_suffix|>",
        '{"name": "f", "arguments": ', '[{"f": ', ', {"g": ', '{"a": 1}', '{"a": "', "{}", "}", "]",
        "[", "{", '"', "\\", ", ", " ", "\n", "f", "text", '"name"', "<arg_key>a</arg_key>", "é",
    ]
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS | st.text(max_size=3), max_size=14).map("".join)


@given(st.sampled_from(sorted(FORMATS)), TEXTS, st.booleans(), st.data())
def test_any_cutting_gives_the_same(
    format: str, text: str, opened: bool, data: st.DataObject
) -> None:
    places = st.lists(st.integers(0, len(text)), max_size=12)
    cuts = [0, *sorted(data.draw(places)), len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(cuts)]
    assert read(FORMATS[format], parts, in_reasoning=opened) == read(
        FORMATS[format], [text], in_reasoning=opened
    )


@given(st.sampled_from(sorted(FORMATS)), st.text())
def test_text_without_marks_is_content(format: str, text: str) -> None:
    assert read(FORMATS[format], text) == ([Content(text)] if text else [])


@given(st.sampled_from(sorted(FORMATS)), TEXTS)
def test_nothing_is_lost_where_no_call_began(format: str, text: str) -> None:
    pieces = read(FORMATS[format], [text])
    if all(isinstance(piece, Content) for piece in pieces) and pieces:
        assert pieces == [Content(text)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(), JSON, max_size=4).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
CALLS = st.lists(
    st.tuples(st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True), ARGUMENTS),
    min_size=1,
    max_size=3,
)


@given(st.sampled_from(["tags", "apertus", "mistral", "old_mistral"]), CALLS)
def test_rendered_calls_are_read_back(format: str, calls: list[tuple[str, str]]) -> None:
    made = [
        ToolCall(id="x", function=CalledFunction(name=name, arguments=arguments))
        for name, arguments in calls
    ]
    expected = [p for at, (name, args) in enumerate(calls) for p in call(at, name, args)]
    assert read(FORMATS[format], [FORMATS[format].render(made)]) == expected
