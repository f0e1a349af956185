"""The YAML before a card, also where the card lost its line ends. Nested values are left out."""

import re
from dataclasses import dataclass
from typing import Any, cast

import yaml

MOST_CHARS = 16 << 10
MOST_ITEMS = 256
_OPEN = re.compile(r"\A\s*---(?=\s)")
_CLOSE = re.compile(r"(?:(?<=\n)|(?<=\s))---(?=\s|\Z)")
_KEY = re.compile(r"(?:^|(?<=\s))([A-Za-z_][\w-]{0,40}):(?=\s|$)")

Value = str | tuple[str, ...]


@dataclass(frozen=True)
class Front:
    """``values``: texts and lists of texts by key. ``body``: the rest of the card."""

    values: dict[str, Value]
    body: str


def read_front(text: str) -> Front:
    """No front matter, or one that is no YAML, gives no values."""
    start = _OPEN.match(text)
    if start is None:
        return Front({}, text)
    end = _CLOSE.search(text, start.end(), start.end() + MOST_CHARS)
    if end is None:
        return Front({}, text)
    inner = text[start.end() : end.start()].strip()
    values = _of_lines(inner) if "\n" in inner else _of_line(inner)
    return Front(values, text[end.end() :])


def _of_lines(text: str) -> dict[str, Value]:
    try:
        # makes texts, lists and mappings, and nothing else
        found: Any = yaml.load(text, yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError):
        return _of_line(" ".join(text.split()))
    if not isinstance(found, dict):
        return {}
    values: dict[str, Value] = {}
    for key, value in cast(dict[Any, Any], found).items():
        if isinstance(key, str) and (kept := _value(value)):
            values[key] = kept
    return values


def _value(value: Any) -> Value | None:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        items = cast(list[Any], value)[:MOST_ITEMS]
        return tuple(" ".join(item.split()) for item in items if isinstance(item, str))
    return None


def _of_line(text: str) -> dict[str, Value]:
    """``key: value key: - item - item``: a value goes to the next key."""
    keys = list(_KEY.finditer(text))[:MOST_ITEMS]
    values: dict[str, Value] = {}
    for at, key in enumerate(keys):
        end = keys[at + 1].start() if at + 1 < len(keys) else len(text)
        value = _loose(text[key.end() : end].strip())
        if value:
            values.setdefault(key.group(1), value)
    return values


def _loose(text: str) -> Value:
    if text.startswith("- "):
        return tuple(_unquoted(item) for item in text[2:].split(" - ")[:MOST_ITEMS])
    if text.startswith("[") and text.endswith("]"):
        return tuple(_unquoted(item) for item in text[1:-1].split(",")[:MOST_ITEMS])
    return _unquoted(text)


def _unquoted(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
