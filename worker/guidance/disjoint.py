"""Whether the branches of a ``oneOf`` exclude each other, so that ``anyOf`` says the same.

llguidance enforces ``anyOf`` only. A proof, never a guess: no proof, and the schema is refused.
"""

import itertools
from typing import Any, cast

Schema = dict[str, Any]
_TYPES = frozenset(["null", "boolean", "number", "string", "array", "object"])
_HOPS = 16


def disjoint(branches: Any, root: Schema) -> bool:
    """No value is valid against two of the branches, provably."""
    if not isinstance(branches, list) or len(branches) > 64:
        return False
    found = [_resolved(branch, root) for branch in cast(list[Any], branches)]
    return all(_apart(a, b, root) for a, b in itertools.combinations(found, 2))


def _apart(a: Any, b: Any, root: Schema) -> bool:
    if a is False or b is False:
        return True
    if not isinstance(a, dict) or not isinstance(b, dict):
        return False
    a, b = cast(Schema, a), cast(Schema, b)
    shared = _types(a) & _types(b)
    values = _values(a), _values(b)
    if not shared or (
        values[0] is not None and values[1] is not None and not values[0] & values[1]
    ):
        return True
    if shared != frozenset(["object"]):
        return False
    return _needs_what_lacks(a, b) or _needs_what_lacks(b, a) or _told_apart(a, b, root)


def _told_apart(a: Schema, b: Schema, root: Schema) -> bool:
    """A key that one of them requires, and that cannot hold the same in both."""
    of_a, of_b = _properties(a), _properties(b)
    for key in _required(a) | _required(b):
        one, other = _resolved(of_a.get(key), root), _resolved(of_b.get(key), root)
        if isinstance(one, dict) and isinstance(other, dict):
            one, other = cast(Schema, one), cast(Schema, other)
            values = _values(one), _values(other)
            if None not in values and not cast(set[str], values[0]) & cast(set[str], values[1]):
                return True
            if not _types(one) & _types(other):
                return True
    return False


def _needs_what_lacks(a: Schema, b: Schema) -> bool:
    closed = b.get("additionalProperties") is False and "patternProperties" not in b
    return closed and bool(_required(a) - _properties(b).keys())


def _required(schema: Schema) -> set[str]:
    given = schema.get("required")
    return (
        {k for k in cast(list[Any], given) if isinstance(k, str)}
        if isinstance(given, list)
        else set()
    )


def _properties(schema: Schema) -> Schema:
    given = schema.get("properties")
    return cast(Schema, given) if isinstance(given, dict) else {}


def _types(schema: Schema) -> frozenset[str]:
    given = schema.get("type")
    names = cast(list[Any], given) if isinstance(given, list) else [given]
    if not all(isinstance(name, str) for name in names):
        return _TYPES
    # an integer is a number, and 1.0 is an integer
    return frozenset("number" if name == "integer" else str(name) for name in names)


def _values(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {_key(schema["const"])}
    given = schema.get("enum")
    return {_key(value) for value in cast(list[Any], given)} if isinstance(given, list) else None


def _key(value: Any) -> str:
    """Equal for equal JSON values: 1 is 1.0, true is not 1; containers are all one."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return f"n{float(value)!r}"
    return f"s{value}" if isinstance(value, str) else "container"


def _resolved(schema: Any, root: Schema) -> Any:
    """Follows plain references into the root, some hops far."""
    for _ in range(_HOPS):
        ref = cast(Schema, schema).get("$ref") if isinstance(schema, dict) else None
        if not isinstance(ref, str):
            return schema
        if not ref.startswith("#/"):
            return None
        schema = root
        for step in ref[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            schema = cast(Schema, schema).get(name) if isinstance(schema, dict) else None
    return None
