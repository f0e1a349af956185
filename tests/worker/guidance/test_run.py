"""Rows held to their grammars, also where tokens are short."""

import json
import re
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.worker.guidance.conftest import PADDED, Dice
from wire.errors import EngineFailed
from wire.structured import Constraint, Kind
from worker.guidance.grammars import after_reasoning, either, grammar_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "friends": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def constraint(kind: Kind, text: str) -> Constraint:
    return Constraint(kind, text, "p")


def person() -> str:
    return grammar_of(constraint("json_schema", json.dumps(PERSON)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "pattern",
    [
        r"^(foo|ba+r)@[a-z.]+/x$",
        r"[a-z]*q",
        r"\d{4}-\d\d?",
        r"(?:[A-F]\S,)+;",
        r"a/b\.\w",
    ],
)
def test_a_regex_matches_the_whole_answer(apertus: Dice, pattern: str, seed: int) -> None:
    guide = apertus.compiler.compile(grammar_of(constraint("regex", pattern)))
    answer = apertus.answer(guide, 60, seed)
    assert answer.finished
    assert re.fullmatch(pattern, answer.text)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1),
    st.integers(0, 99),
)
def test_a_choice_is_one_of_them(apertus: Dice, choices: list[str], seed: int) -> None:
    guide = apertus.compiler.compile(grammar_of(constraint("choice", json.dumps(choices))))
    answer = apertus.answer(guide, 60, seed)
    assert answer.finished
    assert answer.text in choices


def test_json_object(apertus: Dice) -> None:
    guide = apertus.compiler.compile(grammar_of(constraint("json_object", "")))
    for seed in range(10):
        answer = apertus.answer(guide, 40, seed)
        assert isinstance(json.loads(answer.text), dict)


@pytest.mark.parametrize(
    "text",
    ['root ::= "a" b*\nb ::= "(" b ")" | [x-z]', 'start: "a" b*\nb: "(" b ")" | /[x-z]/'],
)
def test_grammars_in_gbnf_and_lark(apertus: Dice, text: str) -> None:
    guide = apertus.compiler.compile(grammar_of(constraint("grammar", text)))
    for seed in range(10):
        answer = apertus.answer(guide, 40, seed)
        assert answer.finished
        assert re.fullmatch(r"a[(xyz)]*", answer.text)
        assert answer.text.count("(") == answer.text.count(")")


@pytest.mark.parametrize("tokens", [16, 20, 40, 80, 400])
def test_an_answer_is_complete_within_its_tokens(apertus: Dice, tokens: int) -> None:
    guide = apertus.compiler.compile(person())
    for seed in range(8):
        answer = apertus.answer(guide, tokens, seed)
        assert answer.finished, answer.text
        assert {"name", "age"} <= json.loads(answer.text).keys()
        assert answer.closed or len(answer.tokens) < tokens


def test_what_cannot_fit_is_not_forced(apertus: Dice) -> None:
    answer = apertus.answer(apertus.compiler.compile(person()), 4)
    assert (answer.finished, answer.closed) == (False, False)


@pytest.mark.parametrize("mark", ["</think>", 7])
def test_after_reasoning(apertus: Dice, mark: str | int) -> None:
    guide = apertus.compiler.compile(after_reasoning(mark, person()))
    for seed in range(5):
        answer = apertus.answer(guide, 90, seed)
        end = mark if isinstance(mark, str) else apertus.compiler.decoded([mark]).decode()
        thought, _, rest = answer.text.partition(end)
        assert len(thought) > 20
        assert "name" in json.loads(rest)


def test_calls_or_an_answer(apertus: Dice) -> None:
    calls = 'start: "<call>" %json {"type":"object"} "</call>"'
    combined = either(calls, constraint("choice", '["yes","no"]'))
    guide = apertus.compiler.compile(after_reasoning("</t>", combined))
    found = set[str]()
    for seed in range(30):
        answer = apertus.answer(guide, 60, seed).text.partition("</t>")[2].strip()
        found.add(answer[:6])
        assert answer in ("yes", "no") or re.fullmatch(r"<call>\{.*\}</call>", answer)
    assert {"<call>", "yes", "no"} >= found


def test_free_text_is_not_closed(apertus: Dice) -> None:
    calls = 'start: "<call>" %json {"type":"object"} "</call>"'
    guide = apertus.compiler.compile(either(calls, None, "<call>"))
    answer = apertus.answer(guide, 50)
    assert not answer.closed
    assert len(answer.text) > 20


def test_runs_of_one_guide_share_nothing(apertus: Dice) -> None:
    guide = apertus.compiler.compile(person())
    alone = apertus.answer(guide, 60, 3)
    other = guide.start(0, 60)
    other(mx.array([], mx.int32), mx.zeros((1, PADDED)))
    assert apertus.answer(guide, 60, 3) == alone


def test_end_tokens_after_the_end_and_none_before(apertus: Dice) -> None:
    guide = apertus.compiler.compile(grammar_of(constraint("choice", '["a","ab"]')))
    run = guide.start(0, 10)
    zeros = mx.zeros((1, PADDED), mx.float16)
    (a,) = apertus.tokenizer.encode("a", add_special_tokens=False)[-1:]
    first = np.array(run(mx.array([], mx.int32), zeros))[0]
    assert np.isneginf(first[apertus.eos]).all()
    after = np.array(run(mx.array([a]), zeros))[0]
    assert (after[apertus.eos] == 0).all()
    assert not run.done
    run(mx.array([a, apertus.eos[0]]), zeros)
    assert run.done
    last = np.array(run(mx.array([a, apertus.eos[0], 5]), zeros))[0]
    assert np.flatnonzero(last == 0).tolist() == apertus.eos


def test_a_token_outside_the_grammar_ends_the_row(apertus: Dice) -> None:
    run = apertus.compiler.compile(person()).start(0, 10)
    with pytest.raises(EngineFailed):
        run(mx.array([300]), mx.zeros((1, PADDED)))


@pytest.mark.parametrize("begun", ['{"value":0.00', '{"value":1,"children":[{"value":2'])
def test_there_is_a_way_out_of_a_number_in_a_recursive_schema(apertus: Dice, begun: str) -> None:
    """Plans stayed in the number: digits came before the comma, and 0.000... never ends."""
    value = {"type": "number", "minimum": 0, "maximum": 3}
    tree = {
        "type": "object",
        "properties": {
            "value": value,
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
        },
        "required": ["value", "children", "next"],
        "additionalProperties": False,
    }
    schema = {"$defs": {"tree": tree}, "$ref": "#/$defs/tree"}
    guide = apertus.compiler.compile(grammar_of(constraint("json_schema", json.dumps(schema))))
    tokens = apertus.tokenizer.encode(begun, add_special_tokens=False)
    run: Any = guide.start(0, 400)
    assert run._matcher.try_consume_tokens(tokens) == len(tokens)
    # by its orders alone: a walk at random may be lucky
    plan = run._closing._paths.plan(run._matcher, 60, thorough=False)
    answer = json.loads(begun + apertus.compiler.decoded(plan[:-1]).decode())
    Draft202012Validator(schema).validate(answer)
