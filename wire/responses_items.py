"""Items of OpenAI's Responses API, as a client sends them: turns, calls, their outputs, thoughts.

Items of built-in tools, images, files and audio are refused by name. An output item of ours can
be sent back as it came.
"""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from wire.parsing import WireModel

Status = Literal["in_progress", "completed", "incomplete"]


class InputText(WireModel):
    type: Literal["input_text"]
    text: str


class OutputText(WireModel):
    """``annotations`` and ``logprobs`` come back with an answer's text, and say nothing new."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class Refusal(WireModel):
    type: Literal["refusal"]
    refusal: str


class SummaryText(WireModel):
    type: Literal["summary_text"]
    text: str


class ReasoningText(WireModel):
    type: Literal["reasoning_text"]
    text: str


def unsupported_type(title: str, found: Any, known: list[str]) -> ValidationError:
    """An error that is put on the field ``type``: pydantic's own would name a union's branch."""
    message = f"{_shown(found)} is not supported; supported: {', '.join(known)}"
    error = PydanticCustomError("unsupported_type", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        title, [{"type": error, "loc": ("type",), "input": None}]
    )


def _shown(found: Any) -> str:
    return f"'{found[:64]}'" if isinstance(found, str) else "a type that is no text"


PARTS: dict[str, type[WireModel]] = {
    "input_text": InputText,
    "output_text": OutputText,
    "refusal": Refusal,
}


def _read_part(value: Any) -> Any:
    if isinstance(value, WireModel):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    kind = cast(dict[str, Any], value).get("type")
    if not isinstance(kind, str) or kind not in PARTS:
        raise unsupported_type("part", kind, list(PARTS))
    return PARTS[kind].model_validate(value)


def text_or_list(of: TypeAdapter[Any]) -> BeforeValidator:
    """Reads text or a list by hand: a union would report "no text" for whatever is wrong."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return value
        if not isinstance(value, list):
            raise ValueError("must be text or a list")
        return of.validate_python(value)

    return BeforeValidator(read)


Part = Annotated[InputText | OutputText | Refusal, BeforeValidator(_read_part)]
Content = Annotated[str | list[Part], text_or_list(TypeAdapter(list[Part]))]


class MessageItem(WireModel):
    """One turn; ``type`` may be left out."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    id: str | None = None
    status: Status | None = None

    @model_validator(mode="after")
    def _refusals_are_the_assistants(self) -> "MessageItem":
        if self.role != "assistant" and any(isinstance(p, Refusal) for p in self.parts):
            raise ValueError("a refusal belongs in an assistant message")
        return self

    @property
    def parts(self) -> list[Part]:
        if not isinstance(self.content, str):
            return self.content
        if self.role == "assistant":
            return [OutputText(type="output_text", text=self.content)]
        return [InputText(type="input_text", text=self.content)]


class FunctionCallItem(WireModel):
    """``arguments`` is a JSON text, as the model wrote it."""

    type: Literal["function_call"]
    call_id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    arguments: str
    id: str | None = None
    status: Status | None = None


class FunctionCallOutputItem(WireModel):
    type: Literal["function_call_output"]
    call_id: Annotated[str, Field(min_length=1)]
    output: Content
    id: str | None = None
    status: Status | None = None

    @property
    def text(self) -> str:
        if isinstance(self.output, str):
            return self.output
        return "".join(p.refusal if isinstance(p, Refusal) else p.text for p in self.output)


class ReasoningItem(WireModel):
    """What the model thought. Another server's ``encrypted_content`` can't be read here."""

    type: Literal["reasoning"]
    id: str | None = None
    summary: list[SummaryText] = []
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None
    status: Status | None = None

    @model_validator(mode="after")
    def _readable(self) -> "ReasoningItem":
        if self.encrypted_content is not None:
            raise ValueError("encrypted_content of another server can't be read; leave it out")
        return self

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content or self.summary)


class ItemReference(WireModel):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: Annotated[str, Field(min_length=1)]


ITEMS: dict[str, type[WireModel]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionCallOutputItem,
    "reasoning": ReasoningItem,
    "item_reference": ItemReference,
}


def _read_item(value: Any) -> Any:
    """By hand, so that the path of what is wrong holds no name of a union's branch."""
    if isinstance(value, WireModel):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    item = cast(dict[str, Any], value)
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference" if "id" in item else "message"
    if not isinstance(kind, str) or kind not in ITEMS:
        raise unsupported_type("item", kind, list(ITEMS))
    return ITEMS[kind].model_validate(item)


Item = Annotated[
    MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem | ItemReference,
    BeforeValidator(_read_item),
]
ITEM_LIST: TypeAdapter[list[Item]] = TypeAdapter(Annotated[list[Item], Field(min_length=1)])
Input = Annotated[str | list[Item], text_or_list(ITEM_LIST)]
_STORED: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


def items_of(stored: list[dict[str, Any]]) -> list[Item]:
    """Items that were read once, from their JSON."""
    return _STORED.validate_python(stored)
