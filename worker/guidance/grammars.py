"""Constraints as grammars for llguidance: pure text in, text out.

A grammar here is one string: either Lark in llguidance's dialect (docs/syntax.md there), or the
JSON of its list of grammars, which is what all functions here return, so that they can be put
into each other. Refuses what cannot be enforced, with ``InvalidRequest``; only compiling finds
the rest.
"""

import hashlib
import json
from typing import Any

import llguidance
from llguidance.gbnf_to_lark import gbnf_to_lark

from wire.errors import InvalidRequest
from wire.structured import Constraint
from worker.guidance.errors import GrammarError
from worker.guidance.patterns import rust_pattern
from worker.guidance.schemas import MAX_REFERENCES, enforceable

MAX_TEXT = 256 * 1024
MAX_REGEX = 8 * 1024
"""A mask takes time in proportion to what is left of a long pattern: 2 s at 200,000."""

MAX_NESTING = 64
"""llguidance parses Lark and regular expressions recursively, on the thread's own stack."""

_JSON_OPTIONS = {
    # with free whitespace a weak model fills its whole answer with newlines; with none at all,
    # most models are pushed off what they write by themselves, which is json.dumps's ", " and
    # ": ". So one optional space there, and nothing elsewhere.
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "lenient": False,
    "coerce_one_of": False,
}
_ANYTHING = r"/(?s:.*)/"


def grammar_of(constraint: Constraint) -> str:
    """The grammar of a whole answer; raises InvalidRequest naming the field."""
    try:
        if constraint.kind in ("json_object", "json_schema"):
            return _list([{"json_schema": _json_schema(constraint)}])
        if constraint.kind == "grammar":
            return _list([{"lark_grammar": _lark(constraint.text)}])
        return _list([{"lark_grammar": f"start: {_body(constraint)}\n"}])
    except GrammarError as error:
        raise _invalid(constraint, error) from None


def either(calls: str, constraint: Constraint | None, mark: str | int = "") -> str:
    """Tool calls, or the constrained answer; without a constraint, or any text.

    ``calls``: a grammar. ``mark``: what begins the calls, as text or as a special token's id;
    needed where any text may stand instead, which then cannot contain it. Only before a special
    token may text come first.
    """
    if constraint is not None:
        parts = {"calls": calls, "answer": grammar_of(constraint)}
        return _combined("start: @calls | @answer\n", parts)
    if isinstance(mark, int):
        return _combined(f"start: {_ANYTHING} | {_ANYTHING} @calls\n", {"calls": calls})
    if not mark:
        raise ValueError("where any text may stand, the mark before tool calls must be known")
    # the lexer takes the longest match: text that could hold the mark would swallow the calls
    text = f"TEXT: {_ANYTHING} & ~(/(?s:.*)/ {_quoted(mark)} /(?s:.*)/)\n"
    return _combined(f"start: @calls | TEXT\n{text}", {"calls": calls})


def after_reasoning(end: str | int, grammar: str) -> str:
    """Any text, the end-of-thinking mark (text, or a special token's id), then the grammar."""
    space = r"/\s{0,2}/"
    if isinstance(end, int):
        top = f"start: {_ANYTHING} <[{end}]> {space} @answer\n"
    else:
        top = (
            f"{CLOSER}{json.dumps(end)}\n"
            f"start: thought {space} @answer\nthought[suffix={_quoted(end)}]: {_ANYTHING}\n"
        )
    return _combined(top, {"answer": grammar})


CLOSER = "// ends: "
"""A comment that travels with a grammar: text that ends a free passage, for ``closing``."""


def closers(grammar: str) -> list[str]:
    """The texts that end free passages of a grammar of ours."""
    texts = [str(part.get("lark_grammar") or "") for part in _parts(grammar)]
    lines = [line for text in texts for line in text.splitlines() if line.startswith(CLOSER)]
    return [json.loads(line.removeprefix(CLOSER)) for line in lines]


def as_list(grammar: str) -> str:
    """The grammar as llguidance's JSON list, whichever of the two forms it came in."""
    return _list(_parts(grammar))


def _body(constraint: Constraint) -> str:
    if constraint.kind == "regex":
        return _regex(constraint.text)
    if constraint.kind == "choice":
        # one regular expression: thousands of alternatives are too many for the parser
        return "/(?:" + "|".join(map(_literal, json.loads(constraint.text))) + ")/"
    if constraint.kind == "grammar":
        raise GrammarError("a grammar of its own cannot be put into another one's rule")
    return "%json " + json.dumps(_json_schema(constraint), ensure_ascii=False)


def _json_schema(constraint: Constraint) -> dict[str, Any]:
    _check_size(constraint.text)
    if constraint.kind == "json_object":
        return {"x-guidance": _JSON_OPTIONS, "type": "object"}
    try:
        schema = json.loads(constraint.text)
    except RecursionError:
        raise GrammarError("the schema is nested too deep") from None
    return {"x-guidance": _JSON_OPTIONS, **enforceable(schema)}


def _regex(text: str) -> str:
    if len(text) > MAX_REGEX:
        raise GrammarError(f"longer than {MAX_REGEX} characters")
    _check_nesting(text)
    return "/" + llguidance.regex_to_lark(f"(?:{rust_pattern(text)})", "") + "/"


def _lark(text: str) -> str:
    _check_size(text)
    _check_nesting(text)
    if text.count(":") > MAX_REFERENCES:
        raise GrammarError(f"more than {MAX_REFERENCES} rules")
    if "::=" not in text:
        return text
    try:
        return gbnf_to_lark(text)
    except RecursionError:
        raise GrammarError("the grammar is nested too deep") from None
    except Exception as error:
        raise GrammarError(f"not a GBNF grammar: {error}") from None


def _literal(text: str) -> str:
    """The text as a regular expression within Lark's slashes."""
    plain = (c if c.isalnum() or c == " " else f"\\x{{{ord(c):x}}}" for c in text)
    return "".join(plain)


def _quoted(text: str) -> str:
    """A Lark string literal."""
    return json.dumps(text, ensure_ascii=False)


def _check_size(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise GrammarError(f"longer than {MAX_TEXT} characters")


def _check_nesting(text: str) -> None:
    depth = 0
    for char in text:
        depth = max(0, depth + (char in "([{") - (char in ")]}"))
        if depth > MAX_NESTING:
            raise GrammarError(f"brackets are nested more than {MAX_NESTING} deep")


def _combined(top: str, parts: dict[str, str]) -> str:
    """A Lark text over other grammars; each is named by its content, so names cannot clash."""
    rest: list[dict[str, Any]] = []
    for role, grammar in parts.items():
        first, *others = _parts(grammar)
        digest = hashlib.sha256(json.dumps(first).encode()).hexdigest()[:16]
        top = top.replace(f"@{role}", f"@g{digest}")
        rest += [{**first, "name": f"g{digest}"}, *others]
    unique = {part["name"]: part for part in rest}
    return _list([{"lark_grammar": top}, *unique.values()])


def _parts(grammar: str) -> list[dict[str, Any]]:
    if grammar.lstrip().startswith('{"grammars"'):
        return json.loads(grammar)["grammars"]
    return [{"lark_grammar": grammar}]


def _list(parts: list[dict[str, Any]]) -> str:
    return json.dumps({"grammars": parts}, ensure_ascii=False)


def _invalid(constraint: Constraint, error: GrammarError) -> InvalidRequest:
    return InvalidRequest(f"{constraint.param}: {error}", param=constraint.param)
