"""Function tools of a chat request, and the calls that assistant turns carry."""

import re
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from wire.parsing import WireModel

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
MAX_TOOLS = 128


def _check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("must be 1 to 64 letters, digits, '_' or '-'")
    return name


ToolName = Annotated[
    str,
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"}),
]


class FunctionSpec(WireModel):
    """``parameters`` is a JSON schema; left out, the function takes an empty object."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @property
    def schema_of_arguments(self) -> dict[str, Any]:
        return self.parameters or {
            "type": "object",
            "properties": {},
            "additionalProperties": False,
        }


class Tool(WireModel):
    type: Literal["function"]
    function: FunctionSpec


class NamedFunction(WireModel):
    name: ToolName


class NamedTool(WireModel):
    type: Literal["function"]
    function: NamedFunction


class AllowedTools(WireModel):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS)]


class AllowedToolsChoice(WireModel):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


def _check_choice(value: Any) -> Any:
    """By hand, so that the path of what is wrong holds no name of a union's branch."""
    if isinstance(value, str):
        if value in ("none", "auto", "required"):
            return value
        raise ValueError("must be none, auto, required, or an object that names a function")
    if isinstance(value, NamedTool | AllowedToolsChoice):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be none, auto, required, or an object that names a function")
    kind = cast(dict[str, Any], value).get("type")
    if kind == "allowed_tools":
        return AllowedToolsChoice.model_validate(value)
    return NamedTool.model_validate(value)


ToolChoice = Annotated[
    Literal["none", "auto", "required"] | NamedTool | AllowedToolsChoice,
    BeforeValidator(_check_choice),
]


class CalledFunction(WireModel):
    """``arguments`` is a JSON text, as the model wrote it."""

    name: str
    arguments: str

    @model_validator(mode="before")
    @classmethod
    def _as_clients_send_it_back(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        # openai's parse() puts the arguments, parsed, beside them
        entries = cast(dict[str, Any], data).items()
        return {name: value for name, value in entries if name != "parsed_arguments"}


class ToolCall(WireModel):
    """A call in an assistant turn that a client sends back."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
