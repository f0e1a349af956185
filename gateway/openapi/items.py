"""What the Responses API answers, for the document: shapes only."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway.openapi.answers import Ailiance

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputPart(BaseModel):
    """`output_text`, `refusal` or `reasoning_text`, with the text under its own name."""

    type: Literal["output_text", "refusal", "reasoning_text"]
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class OutputItem(BaseModel):
    """A message, a function call, or what the model thought."""

    id: str
    type: Literal["message", "function_call", "reasoning"]
    status: ItemStatus
    role: Literal["assistant"] | None = None
    content: list[OutputPart] | None = None
    summary: list[Any] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = Field(None, description="JSON text of an object.")


class InputDetails(BaseModel):
    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(BaseModel):
    reasoning_tokens: int


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class IncompleteDetails(BaseModel):
    reason: Literal["max_output_tokens", "content_filter"]


class ResponseFault(BaseModel):
    code: str
    message: str
    type: str | None = None
    param: str | None = None


class Response(BaseModel):
    """The whole response, with the fields of its request."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    completed_at: int | None
    error: ResponseFault | None
    incomplete_details: IncompleteDetails | None
    model: str = Field(description="Public name of what answered.")
    output: list[OutputItem]
    usage: ResponseUsage | None
    ailiance: Ailiance | None
    background: Literal[False]
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: Literal["default"]
    store: bool = Field(description="Whether it was kept.")
    temperature: float | None = Field(description="null: the model's own.")
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None = Field(description="null: the model's own.")
    truncation: Literal["disabled"]
    user: str | None


class ResponseEvent(BaseModel):
    """One event; the rest depends on `type`, as in OpenAI's API reference."""

    type: str
    sequence_number: int


class Deleted(BaseModel):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ItemPage(BaseModel):
    object: Literal["list"]
    data: list[dict[str, Any]] = Field(description="Items as they were sent, with ids.")
    has_more: bool
    first_id: str | None
    last_id: str | None
