"""JSON schemas of wire's request models as clients may send them, and of what is answered.

Pydantic describes what a model validates; a body passes other hands before (nulls dropped,
neutral fields left out, short forms rewritten), which is added here. Says nothing of paths.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.openapi.accepted import ADDED, REPLACED, RULES
from gateway.openapi.fields import place_of, text_of
from gateway.openapi.operation import Body, Schema

REF = "#/components/schemas/{model}"
UNSUPPORTED = "Not supported: taken only with a value that changes nothing."
OTHER_FORM = "A field of the other form of this request."
NULL: Schema = {"type": "null"}


def ref(model: type[BaseModel]) -> Schema:
    return {"$ref": REF.format(model=model.__name__)}


def request_schemas(bodies: Sequence[Body]) -> dict[str, Schema]:
    """By name: the models of all bodies, and what they hold."""
    found = _of_models([model for body in bodies for model in body.models])
    schemas = {name: _as_sent(name, schema) for name, schema in found.items()}
    for body in bodies:
        forms = [schemas[model.__name__]["properties"] for model in body.models]
        others = {field: _only((), OTHER_FORM) for form in forms for field in form}
        unsupported = {f: _only(v, UNSUPPORTED) for f, v in sorted(body.unsupported.items())}
        for form in forms:
            form |= {f: s for f, s in (others | unsupported).items() if f not in form}
    return schemas


def answer_schemas(models: Sequence[type[BaseModel]]) -> dict[str, Schema]:
    """By name: models of answers, and what they hold."""
    return _of_models(models)


def _of_models(models: Sequence[type[BaseModel]]) -> dict[str, Schema]:
    inputs = [(model, "validation") for model in dict.fromkeys(models)]
    _, found = models_json_schema(cast(Any, inputs), ref_template=REF)
    return cast(dict[str, Schema], _tidy(found.get("$defs", {})))


def _tidy(value: Any) -> Any:
    """Without generated titles and null defaults, docstrings as Markdown.

    A property of such a name has a schema, not a text, as its value.
    """
    if isinstance(value, list):
        return [_tidy(each) for each in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    kept: Schema = {}
    for key, each in cast(Schema, value).items():
        if (key == "title" and isinstance(each, str)) or (key == "default" and each is None):
            continue
        text = key == "description" and isinstance(each, str)
        kept[key] = " ".join(each.replace("``", "`").split()) if text else _tidy(each)
    return kept


def _as_sent(name: str, schema: Schema) -> Schema:
    if "properties" not in schema:
        return schema
    given: dict[str, Schema] = schema["properties"] | ADDED.get(name, {})
    required: list[str] = schema.get("required", [])
    properties = {
        field: _field(name, field, _replaced(name, field, inner), required=field in required)
        for field, inner in sorted(given.items(), key=lambda each: place_of(name, each[0]))
    }
    sent = schema | {"properties": properties}
    return sent | {"allOf": RULES[name]} if name in RULES else sent


def _replaced(model: str, field: str, schema: Schema) -> Schema:
    return REPLACED.get(f"{model}.{field}", REPLACED.get(field, schema))


def _field(model: str, name: str, schema: Schema, *, required: bool) -> Schema:
    sent = schema if required else _or_null(schema)
    text = schema.get("description") or text_of(model, name)
    return sent | {"description": text} if text else sent


def _or_null(schema: Schema) -> Schema:
    """The same or null, which is as if the field were left out."""
    branches: list[Schema] | None = schema.get("anyOf")
    if branches is not None:
        return schema if NULL in branches else schema | {"anyOf": [*branches, NULL]}
    beside = {k: v for k, v in schema.items() if k in ("default", "description")}
    inner = {k: v for k, v in schema.items() if k not in beside}
    return {"anyOf": [inner, NULL], **beside}


def _only(values: tuple[Any, ...], text: str) -> Schema:
    return {"enum": [*values, None], "description": text}


def examples_of(examples: Mapping[str, Any]) -> Schema:
    return {title: {"summary": title, "value": value} for title, value in examples.items()}
