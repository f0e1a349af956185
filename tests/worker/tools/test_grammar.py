"""Grammars of forced calls, against llguidance itself, on tokenizers with and without the marks."""

from typing import Any

import llguidance.hf
import pytest
from llguidance import LLMatcher
from mlx_lm.tool_parsers import glm47, json_tools, mistral
from mlx_lm.utils import load_tokenizer

from tests.worker.tools.tokens import APERTUS, ROOT, TOOLS, WEATHER, mlx_tokenizer, tokenizer
from wire.errors import InvalidRequest
from wire.tools import CalledFunction, FunctionSpec, ToolCall
from worker.tools.choose import forced_format, format_of, marks_of
from worker.tools.formats.base import ToolFormat
from worker.tools.pieces import CallArguments, CallBegin
from worker.tools.reader import Reader


class Setup:
    """A tokenizer, its format, and llguidance on it."""

    def __init__(self, tok: Any) -> None:
        self.tok = tok
        self.format: ToolFormat = format_of(tok)
        self.forced = forced_format(self.format)
        ends = sorted(tok.eos_token_ids)
        self.guide = llguidance.hf.from_tokenizer(tok._tokenizer, eos_token=ends)

    def takes(self, grammar: str, text: str) -> bool:
        """The text follows the grammar and may end there."""
        matcher = LLMatcher(self.guide, LLMatcher.grammar_from_lark(grammar))
        assert not matcher.get_error(), matcher.get_error()
        tokens = self.tok.encode(text, add_special_tokens=False)
        return matcher.validate_tokens(tokens) == len(tokens) and (
            matcher.consume_tokens(tokens) and matcher.is_accepting()
        )

    def text(self, *calls: tuple[str, str]) -> str:
        made = [
            ToolCall(id="x", function=CalledFunction(name=name, arguments=arguments))
            for name, arguments in calls
        ]
        text = self.forced.render(made)
        ends = self.forced.finish.ends
        return text.removesuffix(self.forced.end) if ends else text


SETUPS = {
    "apertus": lambda: tokenizer(APERTUS),
    "apertus-ends": lambda: tokenizer(APERTUS, eos=["<|tools_suffix|>"]),
    "qwen": lambda: mlx_tokenizer(json_tools, added=["<tool_call>", "</tool_call>"]),
    "mistral": lambda: mlx_tokenizer(mistral, special=["[TOOL_CALLS]", "[ARGS]"]),
    "old-mistral": lambda: mlx_tokenizer(mistral, special=["[TOOL_CALLS]"]),
    "glm": lambda: mlx_tokenizer(glm47, added=["<tool_call>", "</tool_call>", "<arg_key>"]),
    "plain": tokenizer,
    "demo-apertus": lambda: load_tokenizer(ROOT / "demo" / "models" / "apertus"),
    "demo-devstral": lambda: load_tokenizer(ROOT / "demo" / "models" / "devstral"),
}
_made: dict[str, Setup] = {}


@pytest.fixture(params=sorted(SETUPS))
def setup(request: pytest.FixtureRequest) -> Setup:
    return _made.setdefault(request.param, Setup(SETUPS[request.param]()))


CITY = ("get_weather", '{"city": "Bern", "days": 2}')
NOW = ("now", "{}")


def test_forced_calls(setup: Setup) -> None:
    grammar = setup.format.lark(TOOLS, at_most_one=False)
    assert setup.takes(grammar, setup.text(CITY))
    assert setup.takes(grammar, setup.text(NOW, CITY, NOW))
    assert not setup.takes(grammar, "")
    assert not setup.takes(grammar, "Hello")
    assert not setup.takes(grammar, "Hello " + setup.text(NOW))
    assert not setup.takes(grammar, setup.text(("later", "{}")))
    assert not setup.takes(grammar, setup.text(("get_weather", "{}")))
    assert not setup.takes(grammar, setup.text(("get_weather", '{"city": 1}')))
    assert not setup.takes(grammar, setup.text(("get_weather", '{"city": "a", "sky": 1}')))


def test_at_most_one(setup: Setup) -> None:
    grammar = setup.format.lark(TOOLS, at_most_one=True)
    assert setup.takes(grammar, setup.text(NOW))
    assert not setup.takes(grammar, setup.text(NOW, NOW))


def test_auto(setup: Setup) -> None:
    rules = "start: tc_auto\n" + setup.format.auto_rules(TOOLS, at_most_one=True)
    for text in ("", "Hello", "a < b [ <|x", "Grüezi\n\n"):
        assert setup.takes(rules, text)
    assert setup.takes(rules, setup.text(CITY))
    assert setup.takes(rules, "Let me see.\n" + setup.text(CITY))
    assert not setup.takes(rules, setup.text(NOW, NOW))
    assert not setup.takes(rules, setup.forced.start)
    assert not setup.takes(rules, "Hm " + setup.forced.start + " hm")
    assert not setup.takes(rules, setup.text(("later", "{}")))


def test_a_mark_that_is_a_token_can_not_be_spelled_out() -> None:
    setup = Setup(tokenizer(APERTUS))
    rules = "start: tc_auto\n" + setup.format.auto_rules(TOOLS, at_most_one=True)
    matcher = LLMatcher(setup.guide, LLMatcher.grammar_from_lark(rules))
    letters = setup.tok.convert_tokens_to_ids(list("<|tools_prefix|>"))
    assert matcher.validate_tokens(letters) == len(letters) - 1


def test_rules_fit_into_a_larger_grammar(setup: Setup) -> None:
    rules = setup.format.calls_rules(TOOLS, at_most_one=True)
    grammar = 'start: "yes" | tool_calls\n' + rules
    assert setup.takes(grammar, "yes")
    assert setup.takes(grammar, setup.text(NOW))


def test_the_forced_reader_reads_what_the_grammar_makes(setup: Setup) -> None:
    reader = Reader(marks_of(setup.tok, setup.forced), setup.forced, TOOLS)
    pieces = [*reader.feed(setup.text(CITY, NOW)), *reader.end()]
    begun = [piece.name for piece in pieces if isinstance(piece, CallBegin)]
    texts = [piece.text for piece in pieces if isinstance(piece, CallArguments)]
    assert begun == ["get_weather", "now"]
    assert texts == [CITY[1], NOW[1]]


SCHEMAS: list[dict[str, Any]] = [
    {},
    {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}},
    {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}},
    {"type": "object", "properties": {"a": {"not": {}}}},
    {"type": ["object", "null"]},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schemas_of_all_sorts_make_a_grammar(schema: dict[str, Any]) -> None:
    setup = _made.setdefault("plain", Setup(tokenizer()))
    tool = FunctionSpec(name="f", parameters=schema)
    grammar = setup.format.lark([tool], at_most_one=True)
    matcher = LLMatcher(setup.guide, LLMatcher.grammar_from_lark(grammar))
    assert not matcher.get_error()
    assert not setup.takes(grammar, setup.text(("f", "[]")))


def test_spacing_is_that_of_templates() -> None:
    setup = _made.setdefault("plain", Setup(tokenizer()))
    grammar = setup.format.lark([WEATHER], at_most_one=True)
    assert not setup.takes(grammar, setup.text(("get_weather", '{"city":  "a"}')))
    assert not setup.takes(grammar, setup.text(("get_weather", '{\n"city": "a"}')))


def test_what_can_not_be_enforced_is_refused_for_strict_functions() -> None:
    parameters = {"type": "object", "properties": {"a": {"not": {"const": 1}}}}
    setup = _made.setdefault("plain", Setup(tokenizer()))
    strict = FunctionSpec(name="f", parameters=parameters, strict=True)
    with pytest.raises(InvalidRequest, match="'f'") as caught:
        setup.format.lark([strict], at_most_one=True)
    assert caught.value.param == "tools"


def test_a_long_chain_of_references_is_no_danger() -> None:
    # regression: llguidance follows references in native code and would end the process
    defs = {f"d{at}": {"$ref": f"#/$defs/d{at + 1}"} for at in range(5000)}
    parameters = {"$ref": "#/$defs/d0", "$defs": {**defs, "d5000": {"type": "object"}}}
    setup = _made.setdefault("plain", Setup(tokenizer()))
    grammar = setup.format.lark([FunctionSpec(name="f", parameters=parameters)], at_most_one=True)
    assert setup.takes(grammar, setup.text(("f", '{"a":1}')))
