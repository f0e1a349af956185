"""The request of OpenAI's Responses API, as far as it is honoured. Bytes in, a model out.

Source: the types of openai-python 3.5 (``openai/types/responses``). Built-in tools, stored
conversations and prompts, work in the background and moderation are refused by name.
"""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from wire.errors import InvalidRequest
from wire.fields import plan_fields
from wire.parsing import WireModel, load_json, validate
from wire.requests import Effort, Model
from wire.responses_items import Input, unsupported_type
from wire.tools import MAX_TOOLS, FunctionSpec, ToolName

LOGPROBS = "message.output_text.logprobs"

# field -> values that change nothing, besides null
UNSUPPORTED_RESPONSES: dict[str, tuple[Any, ...]] = {
    "access_programs": (),
    "background": (False,),
    "context_management": ([],),
    "conversation": (),
    "image": (),
    "max_tool_calls": (),
    "moderation": (),
    "prompt": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": ("in_memory",),
    "truncation": ("disabled",),
}


class Reasoning(WireModel):
    """``summary`` auto is the best there is, which is none: thoughts come as they are."""

    effort: Effort | None = None
    summary: Literal["auto"] | None = None
    generate_summary: Literal["auto"] | None = None
    context: Literal["auto"] | None = None
    mode: Literal["standard"] | None = None


class TextFormat(WireModel):
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _schema_goes_with_its_type(self) -> "TextFormat":
        given = (self.name, self.schema_)
        if self.type == "json_schema" and None in given:
            raise ValueError("type json_schema needs name and schema")
        if self.type != "json_schema" and any(v is not None for v in given):
            raise ValueError("name and schema are only allowed with type json_schema")
        return self


class TextConfig(WireModel):
    format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None


class FunctionTool(FunctionSpec):
    type: Literal["function"]


class NamedChoice(WireModel):
    type: Literal["function"]
    name: ToolName


class AllowedChoice(WireModel):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedChoice], Field(min_length=1, max_length=MAX_TOOLS)]


def _read_tool(value: Any) -> Any:
    kind = cast(dict[str, Any], value).get("type") if isinstance(value, dict) else "function"
    if kind != "function":
        raise unsupported_type("tool", kind, ["function"])
    return cast(Any, value)


def _read_choice(value: Any) -> Any:
    if isinstance(value, NamedChoice | AllowedChoice) or value in ("none", "auto", "required"):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be none, auto, required, or an object that names a function")
    choice = cast(dict[str, Any], value)
    kind = choice.get("type")
    if kind not in ("function", "allowed_tools"):
        raise unsupported_type("tool_choice", kind, ["function", "allowed_tools"])
    return (NamedChoice if kind == "function" else AllowedChoice).model_validate(choice)


Tool = Annotated[FunctionTool, BeforeValidator(_read_tool)]
Choice = Annotated[
    Literal["none", "auto", "required"] | NamedChoice | AllowedChoice,
    BeforeValidator(_read_choice),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]


class ResponsesStreamOptions(WireModel):
    include_obfuscation: bool | None = None
    """Taken and not acted on: OpenAI's random padding hides lengths on its own network."""


class ResponsesRequest(WireModel):
    """``POST /v1/responses``. None: not set by the client."""

    model: Model
    input: Input
    instructions: str | None = None
    previous_response_id: Annotated[str, Field(min_length=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] = []
    """Thoughts come as text, whatever is asked: there is nothing to encrypt."""
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    stream: bool = False
    stream_options: ResponsesStreamOptions | None = None
    store: bool = True
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "default"] | None = None
    adapters: Model | None = None

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in self.include


def parse_responses(raw: bytes) -> ResponsesRequest:
    """Bytes of a request to its model; raises InvalidRequest with ``param`` set."""
    body = plan_fields(load_json(raw), UNSUPPORTED_RESPONSES)
    if "input" not in body:
        raise InvalidRequest("send input: a text, or a list of items", param="input")
    request = validate(ResponsesRequest, body)
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "stream_options is only allowed when stream is true", param="stream_options"
        )
    if request.top_logprobs and not request.wants_logprobs:
        raise InvalidRequest(f'top_logprobs needs include ["{LOGPROBS}"]', param="top_logprobs")
    return request
