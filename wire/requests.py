"""Request models of the OpenAI API, as far as they are honoured. Bytes in, models out.

Sources: OpenAI's API reference for chat completions and completions; vLLM's extra fields
for templates, structured outputs and prompt log-probabilities; mlx-lm's ``adapters``;
llama.cpp's ``lora``.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from wire.errors import InvalidRequest
from wire.fields import UNSUPPORTED_CHAT, UNSUPPORTED_COMPLETION, plan_fields
from wire.messages import Message
from wire.parsing import WireModel, load_json, validate
from wire.sampling import Sampling, TokenId
from wire.structured import Structured
from wire.tools import MAX_TOOLS, AllowedToolsChoice, NamedTool, Tool, ToolChoice

MAX_PROMPTS = 1024
Model = Annotated[str, Field(min_length=1, max_length=256)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
PromptText = Annotated[str, Field(min_length=1)]
PromptTokens = Annotated[list[TokenId], Field(min_length=1)]


class LoraPart(WireModel):
    """One adapter of a composition, by name; a scale of 1 is as trained, 0 turns it off."""

    id: Model
    scale: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)] = 1.0


def _check_distinct(parts: list[LoraPart]) -> list[LoraPart]:
    ids = [part.id for part in parts]
    twice = next((id for id in ids if ids.count(id) > 1), None)
    if twice is not None:
        raise ValueError(f"adapter '{twice}' stands twice; add up its scales")
    return parts


LoraParts = Annotated[
    list[LoraPart], Field(min_length=1, max_length=8), AfterValidator(_check_distinct)
]


class ChatRequest(Sampling, Structured):
    """``POST /v1/chat/completions``."""

    model: Model
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    prompt_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    echo: bool = False
    service_tier: Literal["auto", "default"] | None = None
    store: Literal[False] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    adapters: Model | None = None
    lora: LoraParts | None = None

    @property
    def limit_tokens(self) -> int | None:
        """Most tokens to generate; ``max_completion_tokens`` wins, as in OpenAI's API."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def shown_logprobs(self) -> int | None:
        """How many alternatives to show for each token; None: no log-probabilities at all."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @model_validator(mode="after")
    def _fits_together(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs true")
        if self.prompt_logprobs is not None and self.stream:
            raise ValueError("prompt_logprobs can't be streamed; leave stream out")
        if self.continue_final_message and "add_generation_prompt" not in self.model_fields_set:
            raise ValueError("continue_final_message needs add_generation_prompt false")
        if self.continue_final_message and self.add_generation_prompt:
            raise ValueError(
                "continue_final_message needs add_generation_prompt false: a message is either "
                "continued or begun"
            )
        self._check_tools()
        return self

    def _check_tools(self) -> None:
        offered = [tool.function.name for tool in self.tools or []]
        if len(set(offered)) < len(offered):
            raise ValueError("tools: two functions have one name")
        choice = self.tool_choice
        if choice in (None, "none", "auto"):
            return
        if not offered:
            raise ValueError("tool_choice needs tools")
        for name in _named(choice):
            if name not in offered:
                raise ValueError(f"tool_choice names '{name}', which is not among the tools")


def _named(choice: Any) -> list[str]:
    if isinstance(choice, NamedTool):
        return [choice.function.name]
    if isinstance(choice, AllowedToolsChoice):
        return [tool.function.name for tool in choice.allowed_tools.tools]
    return []


class RouteRequest(ChatRequest):
    """``POST /v1/route``: a chat request that is not sent anywhere."""

    explain: bool = False


class CompletionRequest(Sampling, Structured):
    """``POST /v1/completions``; each prompt is text or token ids."""

    model: Model
    prompt: (
        PromptText
        | PromptTokens
        | Annotated[list[PromptText], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Annotated[list[PromptTokens], Field(min_length=1, max_length=MAX_PROMPTS)]
    )
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    prompt_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool = False
    add_special_tokens: bool = True
    adapters: Model | None = None
    lora: LoraParts | None = None

    @property
    def limit_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def shown_logprobs(self) -> int | None:
        """How many alternatives to show for each token; None: no log-probabilities at all."""
        return self.logprobs

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """Each prompt, in the order of the choices."""
        prompt: Any = self.prompt
        if isinstance(prompt, str) or isinstance(prompt[0], int):
            return [prompt]
        return prompt

    @model_validator(mode="after")
    def _fits_together(self) -> "CompletionRequest":
        if self.max_tokens == 0 and not (self.echo or self.prompt_logprobs is not None):
            raise ValueError("max_tokens 0 needs echo true: there would be nothing to answer")
        if self.prompt_logprobs is not None and self.stream:
            raise ValueError("prompt_logprobs can't be streamed; leave stream out")
        return self


R = TypeVar("R", "ChatRequest", "RouteRequest", "CompletionRequest")


def parse_chat(raw: bytes) -> ChatRequest:
    """Bytes of a chat request to its model; raises InvalidRequest with ``param`` set."""
    return _checked(validate(ChatRequest, plan_fields(load_json(raw), UNSUPPORTED_CHAT)))


def parse_route(raw: bytes) -> RouteRequest:
    """Bytes of a dry run to its model; raises InvalidRequest with ``param`` set."""
    return _checked(validate(RouteRequest, plan_fields(load_json(raw), UNSUPPORTED_CHAT)))


def parse_completion(raw: bytes) -> CompletionRequest:
    """Bytes of a completion request to its model; raises InvalidRequest with ``param`` set."""
    body = plan_fields(load_json(raw), UNSUPPORTED_COMPLETION)
    return _checked(validate(CompletionRequest, body))


def _checked(request: R) -> R:
    # what a model's validator can't say: which of two fields is to go
    if request.constraint() is not None and request.ignore_eos:
        raise InvalidRequest("ignore_eos can't go with a constrained answer", param="ignore_eos")
    return request
