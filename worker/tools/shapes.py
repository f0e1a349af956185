"""The signs around a call's arguments in formats that write them as JSON, matched as text comes.

Only what a shape names is matched; a call written otherwise (keys in another order) is none.
Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from worker.tools.json_text import quoted_string, skip_space

# a header longer than this is no header: bounds the work on text that never decides itself
MAX_HEADER_CHARS = 1024
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE = re.compile(r"[\w.-]+")


class Slot(Enum):
    NAME = "a JSON string"
    BARE_NAME = "a name without quotes"
    BARE_ID = "an id without quotes"
    OBJECT = "the arguments begin here; not consumed"


Item = str | Slot


@dataclass(frozen=True)
class Shape:
    """``opening``, calls (``header``, arguments, ``closing``) with ``between``, then ``final``.

    Without ``between`` there is one call. White space may stand before each item.
    """

    header: tuple[Item, ...]
    opening: tuple[Item, ...] = ()
    closing: tuple[Item, ...] = ()
    between: tuple[Item, ...] | None = None
    final: tuple[Item, ...] = ()

    @property
    def first(self) -> tuple[Item, ...]:
        """All that stands before the arguments of the first call."""
        return (*self.opening, *self.header)

    @property
    def following(self) -> tuple[Item, ...] | None:
        """All that stands between the arguments of two calls."""
        return None if self.between is None else (*self.closing, *self.between, *self.header)

    @property
    def depth(self) -> int:
        """Brackets open where arguments begin."""
        return sum(item in ("{", "[") for item in self.first)


@dataclass(frozen=True)
class Found:
    """A match up to ``end``."""

    end: int
    name: str = ""
    id: str | None = None


Outcome = Found | Literal["more", "no"]


def match(items: Sequence[Item], text: str, at: int) -> Outcome:
    """The items from ``at`` on; "more" if text to come decides."""
    # never looks further, so that how the text was cut makes no difference
    seen = text[at : at + MAX_HEADER_CHARS]
    found = Found(0)
    for item in items:
        outcome = _step(item, seen, found)
        if not isinstance(outcome, Found):
            too_long = len(seen) == MAX_HEADER_CHARS
            return "no" if outcome == "more" and too_long else outcome
        found = outcome
    return Found(at + found.end, found.name, found.id)


def _step(item: Item, text: str, so_far: Found) -> Outcome:
    at = skip_space(text, so_far.end)
    if at == len(text):
        return "more"
    if isinstance(item, Slot):
        return _slot(item, text, at, so_far)
    if text.startswith(item, at):
        return Found(at + len(item), so_far.name, so_far.id)
    return "more" if item.startswith(text[at : at + len(item)]) else "no"


def _slot(slot: Slot, text: str, at: int, so_far: Found) -> Outcome:
    if slot is Slot.OBJECT:
        return Found(at, so_far.name, so_far.id) if text[at] == "{" else "no"
    if slot is Slot.NAME:
        return _quoted(text, at, so_far)
    found = _BARE.match(text, at)
    if found is None:
        return "no"
    if found.end() == len(text):
        return "more"
    if slot is Slot.BARE_ID:
        return Found(found.end(), so_far.name, found.group())
    return Found(found.end(), found.group(), so_far.id)


def _quoted(text: str, at: int, so_far: Found) -> Outcome:
    if text[at] != '"':
        return "no"
    found = _STRING.match(text, at)
    if found is None:
        return "more"
    name = quoted_string(found.group())
    return Found(found.end(), name, so_far.id) if name else "no"


NAMED: tuple[Item, ...] = ("{", '"name"', ":", Slot.NAME, ",", '"arguments"', ":", Slot.OBJECT)
