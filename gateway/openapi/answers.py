"""What generations answer, for the document: shapes only, nothing is built or checked by them.

Open for more fields: a base served elsewhere adds its own, which are passed on.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from router.decision import Reason

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
FINISH = (
    "`stop`: an end token, a stop string or a stop token; `length`: `max_tokens` or the context; "
    "`tool_calls`: the model called functions. The others come only from a base served elsewhere."
)
STOP = "The stop string or stop token that ended it, as in vLLM; null: something else did."
CLOSED = "True where tokens ran short and a constrained answer was brought to its end."
TIER = "`default`, where the request set one."


class Lacking(BaseModel):
    """An adapter that the router would have chosen, and what its evidence lacks."""

    adapter: str
    rule: str = Field(description="Its rule, as the fleet file has it.")
    found: str = Field(description="What does not hold, such as `humaneval 0.853 < base 0.870`.")


WARNING = (
    "What speaks against the adapter asked for by name, or against parts of `lora` by their names: "
    "quarantine, or its evidence."
)


class Ailiance(BaseModel):
    """What answered, as the base reports it; null is unknown or absent."""

    ai_generated: Literal[True] | None = Field(
        None, description="On whatever a model generated (Article 50(2) of the EU AI Act)."
    )
    model: str | None = Field(description="Public name of what answered.")
    base: str | None
    adapter: str | None = Field(description="null: the bare base.")
    adapter_digest: str | None = Field(description="SHA-256 of the adapter's content.")
    base_digest: str | None = Field(description="SHA-256 of the base's content.")
    folded: list[str] = Field(
        description="What was changed in the messages to suit the chat template."
    )
    domain: str | None = Field(description="What the router read; null: it named none.")
    confidence: float | None = Field(description="Probability of that, 0 to 1.")
    reason: Reason = Field(description="Why it went there.")
    evidence: Lacking | None = Field(None, description="With reason `evidence` only.")
    warning: str | None = Field(None, description=WARNING)


class CachedTokens(BaseModel):
    cached_tokens: int = Field(description="Prompt tokens whose KV was stored already.")


class Usage(BaseModel):
    """True counts, by the model's own tokenizer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens | None = None


class AnsweredFunction(BaseModel):
    name: str
    arguments: str = Field(description="JSON text of an object, as the model wrote it.")


class AnsweredCall(BaseModel):
    id: str
    type: Literal["function"]
    function: AnsweredFunction


class AnsweredMessage(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    reasoning_content: str | None = Field(None, description="What the model thought first.")
    reasoning: str | None = Field(None, description="The same, by vLLM's newer name.")
    tool_calls: list[AnsweredCall] | None = None


class Alternative(BaseModel):
    token: str
    logprob: float
    bytes: list[int] | None = Field(
        description="Its UTF-8 bytes, which may be part of a character."
    )


class TokenLogprob(Alternative):
    top_logprobs: list[Alternative]


class ChatLogprobs(BaseModel):
    content: list[TokenLogprob] | None
    refusal: list[TokenLogprob] | None = None


class ChatChoice(BaseModel):
    index: int
    message: AnsweredMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason = Field(description=FINISH)
    stop_reason: str | int | None = Field(None, description=STOP)
    closed_at_limit: bool | None = Field(None, description=CLOSED)


class ChatCompletion(BaseModel):
    """The whole answer of `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str = Field(description="Public name of what answered.")
    system_fingerprint: str | None = Field(None, description="Made of the digests.")
    service_tier: str | None = Field(None, description=TIER)
    choices: list[ChatChoice]
    usage: Usage
    prompt_logprobs: list[Any] | None = Field(None, description="As vLLM; one entry a token.")
    ailiance: Ailiance


class FunctionDelta(BaseModel):
    name: str | None = None
    arguments: str | None = Field(None, description="More of the JSON text.")


class CallDelta(BaseModel):
    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta | None = None


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallDelta] | None = None


class ChunkChoice(BaseModel):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = Field(description=f"null until the last. {FINISH}")
    stop_reason: str | int | None = Field(None, description=STOP)
    closed_at_limit: bool | None = Field(None, description=CLOSED)


class ChatChunk(BaseModel):
    """One event of a chat stream. The first has the role and `ailiance`, the last of each choice
    an empty delta and its `finish_reason`."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str | None = None
    service_tier: str | None = Field(None, description=TIER)
    choices: list[ChunkChoice]
    usage: Usage | None = Field(
        None,
        description="Only with `stream_options.include_usage`: null, then in one last chunk "
        "whose `choices` is empty.",
    )
    ailiance: Ailiance | None = Field(None, description="On the first chunk.")


class TextLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: FinishReason | None = Field(
        description=f"In a stream null until the last. {FINISH}"
    )
    stop_reason: str | int | None = Field(None, description=STOP)
    closed_at_limit: bool | None = Field(None, description=CLOSED)
    prompt_logprobs: list[Any] | None = Field(None, description="As vLLM; one entry a token.")


class TextCompletion(BaseModel):
    """The whole answer of `POST /v1/completions`; choices in the order of the prompts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None = None
    service_tier: str | None = Field(None, description=TIER)
    choices: list[TextChoice]
    usage: Usage
    ailiance: Ailiance


class TextChunk(BaseModel):
    """One event of a stream of `POST /v1/completions`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None = None
    service_tier: str | None = Field(None, description=TIER)
    choices: list[TextChoice]
    usage: Usage | None = None
    ailiance: Ailiance | None = Field(None, description="On the first chunk.")


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 if that was asked for.")


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """One vector for each input, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    ailiance: Ailiance
