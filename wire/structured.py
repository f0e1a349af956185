"""What an answer must look like: ``response_format``, vLLM's guided fields, one ``Constraint``.

Sources: OpenAI's structured outputs; vLLM's ``structured_outputs`` and the older ``guided_*``
fields.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from wire.errors import InvalidRequest
from wire.parsing import WireModel, load_json

Kind = Literal["json_object", "json_schema", "regex", "choice", "grammar"]
Schema = Annotated[
    dict[str, Any] | str | bool,
    WithJsonSchema({"type": ["object", "string", "boolean"]}),
]
Choices = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=4096)]


@dataclass(frozen=True)
class Constraint:
    """One way in which an answer is constrained; hashable, so that it can be a cache's key.

    ``text``: the JSON schema or the list of choices as canonical JSON, a regular expression, or
    a grammar (Lark as llguidance reads it, or GBNF); empty for ``json_object``. ``param`` is the
    field it came from, for error messages.
    """

    kind: Kind
    text: str
    param: str


class JsonSchemaFormat(WireModel):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(WireModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None

    @model_validator(mode="after")
    def _schema_goes_with_its_type(self) -> "ResponseFormat":
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise ValueError("json_schema is needed with type json_schema, and only there")
        return self


class StructuredOutputs(WireModel):
    """vLLM's ``structured_outputs``: exactly one of json, regex, choice, grammar, json_object."""

    json_: Annotated[Schema | None, Field(alias="json")] = None
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = None
    json_object: bool | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "StructuredOutputs":
        given = (self.json_, self.regex, self.choice, self.grammar, self.json_object or None)
        if sum(value is not None for value in given) != 1:
            raise ValueError("set exactly one of json, regex, choice, grammar, json_object")
        return self


class Structured(WireModel):
    """The fields that chat and plain completions share."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | None = None
    guided_regex: str | None = None
    guided_choice: Choices | None = None
    guided_grammar: str | None = None

    def constraint(self) -> Constraint | None:
        """The one constraint asked for; raises InvalidRequest where several are."""
        found = [*_of_format(self.response_format), *_of_outputs(self.structured_outputs)]
        found += _of_values(self.guided_json, "guided_json", "json_schema")
        found += _of_values(self.guided_regex, "guided_regex", "regex")
        found += _of_values(self.guided_choice, "guided_choice", "choice")
        found += _of_values(self.guided_grammar, "guided_grammar", "grammar")
        if len(found) > 1:
            names = " and ".join(c.param for c in found)
            raise InvalidRequest(f"{names} exclude each other; send one", param=found[1].param)
        return found[0] if found else None


def _of_format(given: ResponseFormat | None) -> list[Constraint]:
    if given is None or given.type == "text":
        return []
    if given.json_schema is None or given.json_schema.schema_ is None:
        return [Constraint("json_object", "", "response_format")]
    return _of_values(given.json_schema.schema_, "response_format", "json_schema")


def _of_outputs(given: StructuredOutputs | None) -> list[Constraint]:
    if given is None:
        return []
    param = "structured_outputs"
    if given.json_object:
        return [Constraint("json_object", "", param)]
    return [
        *_of_values(given.json_, param, "json_schema"),
        *_of_values(given.regex, param, "regex"),
        *_of_values(given.choice, param, "choice"),
        *_of_values(given.grammar, param, "grammar"),
    ]


def _of_values(value: Any, param: str, kind: Kind) -> list[Constraint]:
    if value is None:
        return []
    if kind == "json_schema":
        return [Constraint(kind, _schema_text(value, param), param)]
    return [Constraint(kind, value if isinstance(value, str) else canonical(value), param)]


def _schema_text(schema: dict[str, Any] | str | bool, param: str) -> str:
    if isinstance(schema, str):
        schema = load_json(schema.encode(), f"{param}: the schema", param)
        if not isinstance(schema, dict | bool):
            raise InvalidRequest(f"{param}: a JSON schema is an object", param=param)
    return canonical(schema)


def canonical(value: Any) -> str:
    """JSON text; the order of keys stays, since answers follow the order of a schema."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
