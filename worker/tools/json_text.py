"""JSON as a model writes it: where an object ends, and the source text of each member.

Arguments are sent on as they were written, so values are cut out of the text, not printed anew.
Pure.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\]+')


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


@dataclass(frozen=True)
class Member:
    """The value of one key, and its text."""

    value: Any
    source: str


def skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def objects(text: str) -> list[dict[str, Member]]:
    """The members of one object or of each object of a list; raises ValueError for other text."""
    try:
        at = skip_space(text, 0)
        found, at = _listed(text, at + 1) if text.startswith("[", at) else _single(text, at)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if skip_space(text, at) != len(text):
        raise ValueError("text after the JSON")
    return found


def object_text(value: Any, source: str) -> str:
    """The JSON text of an object given as one, or as a string that holds one, or as null."""
    if value is None:
        return "{}"
    if isinstance(value, str):
        value, source = json.loads(value, parse_constant=_refuse), value
    if not isinstance(value, dict):
        raise ValueError("arguments are an object")
    return source


def dumped(value: Any) -> str:
    """JSON text; raises ValueError for what JSON can't say."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _single(text: str, at: int) -> tuple[list[dict[str, Member]], int]:
    one, at = _members(text, at)
    return [one], at


def _listed(text: str, at: int) -> tuple[list[dict[str, Member]], int]:
    found: list[dict[str, Member]] = []
    while True:
        one, at = _members(text, skip_space(text, at))
        found.append(one)
        at = skip_space(text, at)
        if text.startswith("]", at):
            return found, at + 1
        at = _expect(text, at, ",")


def _members(text: str, at: int) -> tuple[dict[str, Member], int]:
    found: dict[str, Member] = {}
    at = skip_space(text, _expect(text, at, "{"))
    if text.startswith("}", at):
        return found, at + 1
    while True:
        key, at = _DECODER.raw_decode(text, skip_space(text, at))
        if not isinstance(key, str):
            raise ValueError("a key is a string")
        begin = skip_space(text, _expect(text, skip_space(text, at), ":"))
        value, at = _DECODER.raw_decode(text, begin)
        found[key] = Member(value, text[begin:at])
        at = skip_space(text, at)
        if text.startswith("}", at):
            return found, at + 1
        at = _expect(text, at, ",")


def _expect(text: str, at: int, sign: str) -> int:
    if not text.startswith(sign, at):
        raise ValueError(f"'{sign}' expected")
    return at + len(sign)


def quoted_string(source: str) -> str | None:
    """The text of a complete JSON string; None if it is none."""
    try:
        value = _DECODER.decode(source)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


class ObjectScan:
    """Finds where a JSON value closes, in text that comes in parts; checks nothing else.

    ``closed``: the bracket that was open first is closed. ``broken``: one of the ``marks`` came up
    outside a string, where JSON can't have it.
    """

    def __init__(self, marks: Sequence[str], depth: int = 0) -> None:
        self._marks = tuple(marks)
        self._first = "".join(mark[0] for mark in self._marks)
        self._depth = depth
        self._in_string = False
        self.closed = False
        self.broken = False

    def advance(self, text: str, at: int, *, last: bool) -> int:
        """How far ``text`` is decided, from ``at`` on; all of it if it is the ``last``."""
        while at < len(text) and not self.closed and not self.broken:
            step = self._string(text, at) if self._in_string else self._outside(text, at)
            if step == at and not self.broken:
                if not last:
                    return at
                step = at + 1
            at = step
        return min(at, len(text))

    def _string(self, text: str, at: int) -> int:
        plain = _PLAIN.match(text, at)
        if plain:
            return plain.end()
        if text[at] == '"':
            self._in_string = False
            return at + 1
        return at + 2 if at + 1 < len(text) else at

    def _outside(self, text: str, at: int) -> int:
        sign = text[at]
        if sign in self._first and self._at_mark(text, at):
            return at
        if sign == '"':
            self._in_string = True
        elif sign in "{[":
            self._depth += 1
        elif sign in "}]":
            self._depth -= 1
            self.closed = self._depth <= 0
        return at + 1

    def _at_mark(self, text: str, at: int) -> bool:
        """A mark is here, or may be once more text came."""
        self.broken = any(text.startswith(mark, at) for mark in self._marks)
        rest = len(text) - at
        return self.broken or any(
            rest < len(mark) and mark.startswith(text[at:]) for mark in self._marks
        )
