"""JSON schemas, made ready for llguidance: an answer it allows validates against the original.

llguidance enforces most of Draft 2020-12 and ignores what it does not know. So a keyword is
passed on, rewritten into others that mean the same, dropped where it asserts nothing, or refused
by name. Unknown keywords assert nothing in JSON Schema, and are dropped.
"""

from collections.abc import Mapping
from typing import Any, cast

from worker.guidance.disjoint import disjoint
from worker.guidance.errors import GrammarError
from worker.guidance.patterns import rust_pattern

Schema = dict[str, Any]

MAX_DEPTH = 48
MAX_REFERENCES = 400
"""llguidance follows references recursively, in native code: 2,000 in a row end the process."""

EXACT = 2**53
"""llguidance keeps numbers as doubles: beyond this, bounds and constants would shift."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEPT = _words(
    "type enum const minItems maxItems required maxProperties minLength maxLength "
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf $anchor"
)
_SCHEMA = frozenset(["items", "additionalProperties"])
_SCHEMAS = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
_NAMED = frozenset(["properties", "patternProperties", "$defs", "definitions"])
_REFUSED = frozenset(["not", "contains", "$dynamicRef", "$recursiveRef", "dependencies"])
_FORMATS = _words("date-time time date duration email hostname ipv4 ipv6 uuid uri")
_FORMATS_REFUSED = _words(
    "idn-email idn-hostname uri-reference iri iri-reference uri-template json-pointer "
    "relative-json-pointer regex"
)
_APPLICATORS = _words("allOf anyOf oneOf $ref if patternProperties dependentSchemas")


def enforceable(schema: Schema | bool) -> Schema:
    """The schema with nothing in it that llguidance would ignore; raises GrammarError."""
    root = schema if isinstance(schema, dict) else {}
    _check_references(root)
    found = _schema(schema, root, 0)
    if found is False:
        raise GrammarError("the schema false allows no answer")
    return {} if found is True else found


def _check_references(root: Schema) -> None:
    todo: list[Any] = [root]
    targets: set[str] = set()
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            part = cast(Schema, part)
            targets.add(str(part.get("$ref")))
            todo += part.values()
        elif isinstance(part, list):
            todo += cast(list[Any], part)
    if len(targets) > MAX_REFERENCES:
        raise GrammarError(f"$ref: more than {MAX_REFERENCES} different references")


def _schema(node: Any, root: Schema, depth: int) -> Schema | bool:
    if depth > MAX_DEPTH:
        raise GrammarError(f"the schema is nested more than {MAX_DEPTH} deep; use $ref")
    if isinstance(node, bool):
        return node
    if not isinstance(node, dict):
        raise GrammarError("a JSON schema is an object or a boolean")
    out: Schema = {}
    for key, value in _modern(cast(Schema, node)).items():
        _keyword(out, key, value, node, root, depth + 1)
    return out


def _keyword(out: Schema, key: str, value: Any, node: Schema, root: Schema, depth: int) -> None:
    """Put what a keyword means into ``out``, whose order decides that of an answer's keys."""
    if key in _KEPT:
        _check_numbers(key, value)
        out[key] = value
    elif key in _SCHEMA:
        out[key] = _schema(value, root, depth)
    elif key in _SCHEMAS:
        key = "anyOf" if key == "oneOf" and "anyOf" not in node and disjoint(value, root) else key
        out[key] = [_schema(part, root, depth) for part in _listed(key, value)]
    elif key in _NAMED:
        out[key] = _named(key, value, root, depth)
    elif key in _SPECIAL:
        _SPECIAL[key](out, value, node)
    elif key in ("dependentRequired", "dependentSchemas"):
        _dependent(out, key, value, root, depth)
    elif key in _REFUSED or key.startswith("unevaluated"):
        _refuse(out, key, value, node)
    elif key == "$id" and depth > 1:
        raise GrammarError("$id is understood at the top of a schema only; use $defs and #/ refs")


def _named(key: str, value: Any, root: Schema, depth: int) -> Schema:
    if not isinstance(value, dict):
        raise GrammarError(f"{key} must be an object")
    parts = cast(Schema, value).items()
    if key == "patternProperties":
        parts = [(rust_pattern(name), part) for name, part in parts]
    return {name: _schema(part, root, depth) for name, part in parts}


def _listed(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise GrammarError(f"{key} must be a list of schemas")
    return cast(list[Any], value)


def _modern(node: Schema) -> Schema:
    """Earlier drafts' forms of what Draft 2020-12 says otherwise."""
    node = dict(node)
    if isinstance(node.get("items"), list):
        node["prefixItems"] = node.pop("items")
        node["items"] = node.pop("additionalItems", True)
    for bound in ("minimum", "maximum"):
        exclusive = "exclusiveM" + bound[1:]
        if isinstance(node.get(exclusive), bool) and node.pop(exclusive) and bound in node:
            node[exclusive] = node.pop(bound)
    return node


def _refuse(out: Schema, key: str, value: Any, node: Schema) -> None:
    if value in (True, {}) and key.startswith("unevaluated"):
        return
    if key == "unevaluatedProperties" and value is False and not _APPLICATORS & node.keys():
        out.setdefault("additionalProperties", node.get("additionalProperties", False))
        return
    if key == "not" and value is False:
        return
    raise GrammarError(f"{key} cannot be enforced; leave it out, or say it with other keywords")


def _if(_: Schema, __: Any, node: Schema) -> None:
    if "then" in node or "else" in node:
        raise GrammarError("if/then/else cannot be enforced; say it with anyOf")


def _unique(_: Schema, value: Any, node: Schema) -> None:
    most = node.get("maxItems")
    if value is not False and not (isinstance(most, int) and most <= 1):
        raise GrammarError("uniqueItems cannot be enforced; leave it out")


def _min_properties(out: Schema, value: Any, node: Schema) -> None:
    # keys beyond the named ones may come twice, and count once
    if not isinstance(value, int) or value < 0:
        raise GrammarError("minProperties must be a whole number")
    required = node.get("required")
    if value <= len(set(cast(list[str], required)) if isinstance(required, list) else ()):
        return
    if value > 1:
        raise GrammarError("minProperties above 1 cannot be enforced; name the keys in required")
    out["minProperties"] = value


def _property_names(out: Schema, value: Any, node: Schema) -> None:
    names = cast(Schema, value) if isinstance(value, dict) else {"": value}
    if value is True or not names.keys() - {"type", "title", "description"}:
        return
    others = {"properties", "patternProperties", "required"} & node.keys()
    rest = node.get("additionalProperties", True)
    said = names.keys() - {"type", "title", "description"}
    # of what additionalProperties may be, only these need no rewriting of their own
    if others or not isinstance(rest, bool) or len(said) != 1:
        raise GrammarError("propertyNames cannot be enforced here; use patternProperties")
    if "pattern" in said:
        out["patternProperties"] = {rust_pattern(str(names["pattern"])): rest}
    elif "enum" in said:
        out["properties"] = {str(name): rest for name in names["enum"]}
    else:
        raise GrammarError("propertyNames can be enforced with pattern or enum only")
    out["additionalProperties"] = False


def _format(out: Schema, value: Any, _: Schema) -> None:
    if value in _FORMATS_REFUSED:
        raise GrammarError(f"format {value} cannot be enforced; use pattern")
    if isinstance(value, str) and value in _FORMATS:
        out["format"] = value


def _pattern(out: Schema, value: Any, _: Schema) -> None:
    if not isinstance(value, str):
        raise GrammarError("pattern must be a string")
    out["pattern"] = rust_pattern(value)


def _ref(out: Schema, value: Any, _: Schema) -> None:
    if not isinstance(value, str) or not value.startswith("#"):
        raise GrammarError("$ref must stay within the schema (#/$defs/...); nothing is fetched")
    out["$ref"] = value


_SPECIAL = {
    "if": _if,
    "uniqueItems": _unique,
    "minProperties": _min_properties,
    "propertyNames": _property_names,
    "format": _format,
    "pattern": _pattern,
    "$ref": _ref,
}


def _dependent(out: Schema, key: str, value: Any, root: Schema, depth: int) -> None:
    """``a`` brings something with it: either there is no ``a``, or that holds."""
    if not isinstance(value, dict):
        raise GrammarError(f"{key} must be an object")
    for name, then in cast(Schema, value).items():
        holds = {"required": then} if key == "dependentRequired" else _schema(then, root, depth)
        either = [{"properties": {name: False}}, holds]
        out.setdefault("allOf", []).append({"anyOf": either})


def _check_numbers(key: str, value: Any) -> None:
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo += cast(list[Any], part)
        elif isinstance(part, Mapping):
            todo += cast(Mapping[str, Any], part).values()
        elif isinstance(part, int | float) and abs(part) > EXACT:
            raise GrammarError(f"{key}: numbers beyond 2**53 cannot be enforced exactly")
