"""The rules of ``serve_if``: text -> comparisons. Parsed by hand; nothing of a text is executed.

    rule       = all {"or" all}
    all        = term {"and" term}
    term       = "(" rule ")" | "always" | comparison
    comparison = benchmark (">=" | ">" | "<=" | "<") bound
    bound      = ["-"] number | "base" [("+" | "-") number]

A benchmark stands for the adapter's result in it, ``base`` for the base's in the same. Numbers
are decimal: ``base + 0.01`` is exactly that. Every text is a rule or a RuleError.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal

RESERVED = frozenset({"and", "or", "base", "always"})
EXAMPLE = 'for example "humaneval >= base - 0.01"'
MAX_CHARS = 500
MAX_DEPTH = 20

Operator = Literal[">=", ">", "<=", "<"]
TURNED: dict[Operator, Operator] = {">=": "<", ">": "<=", "<=": ">", "<": ">="}
"""What holds where the comparison does not."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_.]*)|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<quoted>'[^']*'|"[^"]*")|(?P<sign>>=|<=|[()<>+-]))""",
    re.ASCII,
)
_BENCHMARK = re.compile(r"[A-Za-z_][A-Za-z0-9_.+:/-]{0,62}")


class RuleError(ValueError):
    """The text is no rule: what is wrong where, and the mend."""


@dataclass(frozen=True, slots=True)
class Bound:
    """``base + offset``, or a number on its own."""

    is_base: bool
    offset: Decimal

    def __str__(self) -> str:
        if not self.is_base:
            return str(self.offset)
        sign = "-" if self.offset < 0 else "+"
        return f"base {sign} {abs(self.offset)}" if self.offset else "base"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The adapter's result in a benchmark, and what it is held against."""

    benchmark: str
    operator: Operator
    bound: Bound


@dataclass(frozen=True, slots=True)
class All:
    """Holds where each part does; without parts always."""

    parts: tuple["Rule", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Holds where one part does."""

    parts: tuple["Rule", ...]


Rule = Comparison | All | Any


def is_benchmark(name: str) -> bool:
    """Whether results may have this name. Not every one can stand in a rule without quotes."""
    return _BENCHMARK.fullmatch(name) is not None and name not in RESERVED


@lru_cache(maxsize=1024)
def parse_rule(text: str) -> Rule:
    """The rule of a text. Raises RuleError."""
    if len(text) > MAX_CHARS:
        raise RuleError(f"a rule of {len(text)} characters; at most {MAX_CHARS} are read")
    return _Parser(text).rule()


def comparisons(rule: Rule) -> Iterator[Comparison]:
    """Each comparison of a rule, in the order of the text."""
    if isinstance(rule, Comparison):
        yield rule
        return
    for part in rule.parts:
        yield from comparisons(part)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


class _Parser:
    """One text, read once from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def rule(self) -> Rule:
        found = self._any(0)
        if self._now.kind != "end":
            raise self._expected("'and', 'or' or the end")
        return found

    def _any(self, depth: int) -> Rule:
        parts = [self._all(depth)]
        while self._takes("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _all(self, depth: int) -> Rule:
        parts = [self._term(depth)]
        while self._takes("and"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _term(self, depth: int) -> Rule:
        if self._takes("("):
            if depth == MAX_DEPTH:
                raise RuleError(f"more than {MAX_DEPTH} parentheses within each other; use fewer")
            found = self._any(depth + 1)
            if not self._takes(")"):
                raise self._expected("')'")
            return found
        return All(()) if self._takes("always") else self._comparison()

    def _comparison(self) -> Comparison:
        token = self._now
        name = token.text[1:-1] if token.kind == "quoted" else token.text
        if token.kind not in ("name", "quoted") or not is_benchmark(name):
            raise self._expected("the name of a benchmark")
        self._at += 1
        for operator in TURNED:
            if self._takes(operator):
                return Comparison(name, operator, self._bound())
        raise self._expected("'>=', '>', '<=' or '<' (a name with other characters in quotes)")

    def _bound(self) -> Bound:
        if self._takes("-"):
            return Bound(False, -self._number())
        if not self._takes("base"):
            return Bound(False, self._number("'base' or a number"))
        if self._takes("+"):
            return Bound(True, self._number())
        return Bound(True, -self._number() if self._takes("-") else Decimal(0))

    def _number(self, expected: str = "a number") -> Decimal:
        token = self._now
        if token.kind != "number":
            raise self._expected(expected)
        self._at += 1
        return Decimal(token.text)

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _takes(self, text: str) -> bool:
        found = self._now.kind in ("name", "sign") and self._now.text == text
        self._at += found
        return found

    def _expected(self, what: str) -> RuleError:
        token = self._now
        there = "the rule ends" if token.kind == "end" else f"{token.text!r} stands"
        return RuleError(f"{what} expected where {there} (column {token.column}); {EXAMPLE}")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            bad = len(text) - len(text[at:].lstrip())
            raise RuleError(f"{text[bad]!r} means nothing here (column {bad + 1}); {EXAMPLE}")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*found, _Token("end", "", len(text) + 1)]
