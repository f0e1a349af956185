"""The cache, and hostile grammars: an error in bounded time, never a dead process."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.utils import load_tokenizer

from tests.worker.conftest import ROOT
from tests.worker.guidance.conftest import Dice
from wire.errors import InvalidRequest
from wire.structured import Constraint, Kind
from worker.guidance.compiler import KEPT, Compiler
from worker.guidance.errors import GrammarError
from worker.guidance.grammars import grammar_of


def test_the_same_text_is_compiled_once(apertus: Dice) -> None:
    first = apertus.compiler.compile('start: "once"')
    assert apertus.compiler.compile('start: "once"') is first
    for at in range(KEPT):
        apertus.compiler.compile(f'start: "{at}"')
    assert apertus.compiler.compile('start: "once"') is not first


def test_from_many_threads(apertus: Dice) -> None:
    texts = [f'start: "thread {at % 5}"' for at in range(40)]
    with ThreadPoolExecutor(4) as pool:
        guides = list(pool.map(apertus.compiler.compile, texts))
    assert len(guides) == 40


def _nested(depth: int) -> str:
    return '{"type":"array","items":' * depth + "{}" + "}" * depth


def _chain(length: int, nesting: int) -> str:
    defs: dict[str, Any] = {f"d{length}": {"type": "string"}}
    for at in range(length):
        link: dict[str, Any] = {"$ref": f"#/$defs/d{at + 1}"}
        for _ in range(nesting):
            link = {"allOf": [link]}
        defs[f"d{at}"] = link
    return json.dumps({"$defs": defs, "$ref": "#/$defs/d0"})


HOSTILE: dict[str, tuple[Kind, str]] = {
    "1 MB": ("json_schema", json.dumps({"enum": ["x" * 100] * 10_000})),
    "depth 10,000": ("json_schema", _nested(10_000)),
    "references": ("json_schema", _chain(3000, 1)),
    "product": (
        "json_schema",
        json.dumps(
            {
                "allOf": [
                    {"anyOf": [{"properties": {f"{i}{j}": {"type": "string"}}} for j in range(8)]}
                    for i in range(12)
                ]
            }
        ),
    ),
    "itself": ("json_schema", '{"$ref":"#"}'),
    "brackets": ("regex", "(" * 5000 + "a" + ")" * 5000),
    "long": ("regex", "a" * 200_000),
    "exponential": ("regex", ".*a.{200}" + ".*b" * 20),
    "lark brackets": ("grammar", "start: " + "(" * 50_000 + '"a"' + ")" * 50_000),
    "rules": (
        "grammar",
        "start: r0\n" + "".join(f"r{i}: r{i + 1}\n" for i in range(8000)) + 'r8000: "a"',
    ),
    "gbnf rules": (
        "grammar",
        "root ::= r0\n" + "".join(f"r{i} ::= r{i + 1}\n" for i in range(5000)) + 'r5000 ::= "a"',
    ),
    "doubling": (
        "grammar",
        "start: R0\n" + "".join(f"R{i}: R{i + 1} R{i + 1}\n" for i in range(60)) + 'R60: "a"',
    ),
    "start": ("grammar", "start: start"),
    "not a grammar": ("grammar", "start: )"),
    "look-ahead": ("regex", "(?=a)b"),
    "empty": ("json_schema", '{"type":"string","pattern":"^a$","minLength":5}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_grammars_are_refused_in_time(apertus: Dice, name: str) -> None:
    kind, text = HOSTILE[name]
    began = time.monotonic()
    with pytest.raises((InvalidRequest, GrammarError)) as raised:
        apertus.compiler.compile(grammar_of(Constraint(kind, text, "p")))
    assert time.monotonic() - began < 20
    assert len(str(raised.value)) < 500


def test_chains_up_to_the_limit_have_stack_enough(apertus: Dice) -> None:
    text = _chain(390, 20)
    guide = apertus.compiler.compile(grammar_of(Constraint("json_schema", text, "p")))
    assert json.loads(apertus.answer(guide, 20).text) is not None


def test_a_base_whose_end_tokens_it_cannot_draw() -> None:
    """llguidance refuses an end token outside the vocabulary, and took the worker with it."""
    tokenizer = load_tokenizer(ROOT / "demo" / "models" / "apertus")
    run = Compiler(tokenizer, 2048, [10**6]).compile('start: "a"').start(0, 8)
    (a,) = tokenizer.encode("a", add_special_tokens=False)
    run(mx.array([a]), mx.zeros((1, 2048)))
    assert run.done
