"""A JSON schema in words: what a reader of the page needs of it. Pure: schemas in, words out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from gateway.openapi.operation import Schema

PREFIX = "#/components/schemas/"
TYPES = {
    "boolean": "boolean",
    "string": "text",
    "object": "object",
    "integer": "integer",
    "number": "number",
    "null": "null",
}
RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"),
    ("minProperties", "maxProperties", " entries"),
)


@dataclass(frozen=True)
class Word:
    """A piece of a type: plain words, a value of JSON, or a schema that the page shows."""

    text: str
    is_value: bool = False
    schema: str = ""


@dataclass(frozen=True)
class FieldRow:
    """One line of a table of fields. ``default``: JSON text, or empty."""

    name: str
    required: bool
    type: tuple[Word, ...]
    default: str
    limits: tuple[str, ...]
    text: str


def rows(schema: Schema) -> list[FieldRow]:
    """The fields that do something, the required ones first."""
    required: list[str] = schema.get("required", [])
    names = sorted(schema.get("properties", {}), key=lambda name: name not in required)
    fields = [(name, schema["properties"][name]) for name in names]
    return [_row(n, f, n in required) for n, f in fields if not is_neutral(f)]


def neutral(schema: Schema) -> list[tuple[str, list[str]]]:
    """Fields taken only with values that change nothing, with those values."""
    fields: dict[str, Schema] = schema.get("properties", {})
    return [
        (name, [value_text(v) for v in field["enum"]])
        for name, field in fields.items()
        if is_neutral(field)
    ]


def is_neutral(field: Schema) -> bool:
    return None in field.get("enum", ())


def rules(schema: Schema) -> list[str]:
    """What holds between fields, in words."""
    return [rule["description"] for rule in schema.get("allOf", []) if "description" in rule]


def named_in(value: Any) -> Iterator[str]:
    """Names of the schemas that a schema refers to, in order, not followed."""
    if isinstance(value, dict):
        for key, each in cast(Schema, value).items():
            if key == "$ref":
                yield each.removeprefix(PREFIX)
            elif key != "discriminator":
                yield from named_in(each)
    elif isinstance(value, list):
        for each in cast(list[Any], value):
            yield from named_in(each)


def value_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _row(name: str, schema: Schema, required: bool) -> FieldRow:
    default = value_text(schema["default"]) if "default" in schema else ""
    limits = tuple(dict.fromkeys(_limits(schema)))
    text = schema.get("description", "")
    return FieldRow(name, required, tuple(_words(schema)), default, limits, text)


def _branches(schema: Schema) -> list[Schema]:
    """What it may be; every optional field may be null, so that is not said of each."""
    found: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [branch for branch in found if branch != {"type": "null"}]


def _words(schema: Schema) -> Iterator[Word]:
    for at, branch in enumerate(_branches(schema)):
        if at:
            yield Word(" or ")
        yield from _of_branch(branch)


def _of_branch(schema: Schema) -> Iterator[Word]:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(PREFIX)
        yield Word(name, schema=name)
    elif "const" in schema or "enum" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        for at, value in enumerate(values):
            if at:
                yield Word(", ")
            yield Word(value_text(value), is_value=True)
    elif "anyOf" in schema or "oneOf" in schema:
        yield from _words(schema)
    elif schema.get("type") == "array":
        yield Word("list of ")
        yield from _words(schema.get("items", {}))
    else:
        yield Word(_plain(schema))


def _plain(schema: Schema) -> str:
    kinds: str | list[str] = schema.get("type", "any JSON")
    listed = [kinds] if isinstance(kinds, str) else kinds
    inner = schema.get("additionalProperties")
    if listed == ["object"] and isinstance(inner, dict) and "type" in inner:
        return f"map to {_plain(cast(Schema, inner))}"
    return " or ".join(TYPES.get(kind, kind) for kind in listed)


def _limits(schema: Schema) -> Iterator[str]:
    for branch in _branches(schema):
        if "exclusiveMinimum" in branch:
            yield f"above {_number(branch['exclusiveMinimum'])}"
        if "exclusiveMaximum" in branch:
            yield f"below {_number(branch['exclusiveMaximum'])}"
        for least, most, unit in RANGES:
            if words := _range(branch.get(least), branch.get(most), unit):
                yield words
        if "pattern" in branch:
            yield f"matches {branch['pattern']}"
        if branch.get("type") == "array":
            yield from (f"each {words}" for words in _limits(branch.get("items", {})))


def _range(least: Any, most: Any, unit: str) -> str:
    if least is not None and most is not None:
        return f"{_number(least)} to {_number(most)}{unit}"
    if least is not None:
        return "not empty" if unit and least == 1 else f"at least {_number(least)}{unit}"
    return "" if most is None else f"at most {_number(most)}{unit}"


def _number(value: Any) -> str:
    # 64-bit limits as they are known, rather than as nineteen digits
    if isinstance(value, int) and abs(value) >= 2**62:
        return f"{'-' if value < 0 else ''}2^{abs(value).bit_length() - 1}"
    return str(value)
