"""What an answer is held to and how it is read, rule by rule (worker/server/speech.py)."""

import json
from typing import Any

import pytest
from mlx_lm.utils import load_tokenizer

from tests.worker.conftest import ROOT
from wire.errors import InvalidRequest
from wire.requests import ChatRequest, parse_chat
from wire.tools import CalledFunction, ToolCall
from worker.guidance.compiler import Compiler
from worker.server.speech import Heard, Speech

TOKENIZER = load_tokenizer(ROOT / "demo" / "models" / "apertus")
SPEECH = Speech(TOKENIZER)
COMPILER = Compiler(TOKENIZER, 2048, sorted(TOKENIZER.eos_token_ids))
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
CALL = SPEECH.format.render(
    [ToolCall(id="c", function=CalledFunction(name="f", arguments='{"a": 1}'))]
)


def request(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    return parse_chat(json.dumps(body).encode())


def tool(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": SCHEMA, **more}}


def plan(*, in_reasoning: bool = False, **fields: Any) -> Heard:
    return SPEECH.plan(request(**fields), in_reasoning=in_reasoning)


def accepts(grammar: str, text: str) -> bool:
    """The grammar takes the text as a whole answer."""
    run = COMPILER.compile(grammar).start(0, 10**6)
    matcher = run._matcher  # pyright: ignore
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def test_nothing_asked_nothing_held_nothing_looked_for() -> None:
    heard = plan()
    assert heard.grammar is None
    assert not heard.reads
    assert heard.visible == frozenset()


def test_rule_1_a_constraint_alone() -> None:
    heard = plan(response_format=FORM)
    assert heard.param == "response_format"
    assert heard.grammar is not None
    assert accepts(heard.grammar, '{"a":1}')
    assert not accepts(heard.grammar, CALL)
    assert not heard.reads


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
@pytest.mark.parametrize("form", [None, FORM])
def test_rule_2_a_call_is_required(choice: Any, form: Any) -> None:
    heard = plan(tools=[tool()], tool_choice=choice, response_format=form)
    assert heard.param == "tools"
    assert heard.grammar is not None
    assert accepts(heard.grammar, CALL)
    assert not accepts(heard.grammar, CALL.replace("1", '"x"'))
    assert not accepts(heard.grammar, "some text")
    assert heard.reads


def test_rule_2_what_cannot_be_enforced_is_refused() -> None:
    """A function that is not strict was called with anything, though the call was required."""
    loose = tool()
    loose["function"]["parameters"] = {"type": "object", "not": {"required": ["a"]}}
    for choice in ("required", {"type": "function", "function": {"name": "f"}}):
        with pytest.raises(InvalidRequest, match="not cannot be enforced") as caught:
            plan(tools=[loose], tool_choice=choice)
        assert caught.value.param == "tools"
    assert plan(tools=[loose]).grammar is None


def test_rule_3_functions_and_a_constraint() -> None:
    heard = plan(tools=[tool()], response_format=FORM)
    # what does not compile is the constraint: schemas of functions are checked one by one
    assert heard.param == "response_format"
    assert heard.grammar is not None
    assert accepts(heard.grammar, CALL)
    assert accepts(heard.grammar, '{"a":1}')
    assert not accepts(heard.grammar, "some text")


@pytest.mark.parametrize(
    "fields", [{"tools": [tool(strict=True)]}, {"tools": [tool()], "parallel_tool_calls": False}]
)
def test_rule_4_strict_functions_and_single_calls(fields: dict[str, Any]) -> None:
    heard = plan(**fields)
    assert heard.grammar is not None
    for text in ("some text", CALL, f"Let me see. {CALL}"):
        assert accepts(heard.grammar, text), text
    assert not accepts(heard.grammar, CALL.replace("1", '"x"'))


def test_a_single_call_is_not_followed_by_another() -> None:
    heard = plan(tools=[tool()], parallel_tool_calls=False)
    assert heard.grammar is not None
    assert not accepts(heard.grammar, CALL + CALL)


def test_rule_5_tools_that_hold_nothing_are_read() -> None:
    heard = plan(tools=[tool()])
    assert heard.grammar is None
    assert heard.reads


def test_no_call_may_be_made_and_none_is_looked_for() -> None:
    heard = plan(tools=[tool()], tool_choice="none")
    assert heard.grammar is None
    assert not heard.reads


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [tool()], "tool_choice": "required"},
        {"tools": [tool(strict=True)]},
        {"tools": [tool()], "parallel_tool_calls": False},
    ],
)
def test_a_held_answer_has_an_end(fields: dict[str, Any]) -> None:
    """ignore_eos was taken, and not honoured."""
    with pytest.raises(InvalidRequest) as caught:
        plan(**fields, ignore_eos=True)
    assert caught.value.param == "ignore_eos"
    assert plan(tools=[tool()], ignore_eos=True).grammar is None
