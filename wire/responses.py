"""Builders of response bodies: chat completions, chunks, text completions, models.

Plain dictionaries rather than pydantic models: a chunk is built for every token of every
row, and its shape is fixed here in one place.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["chat", "text"]
FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Usage:
    """True token counts of one request, by the model's own tokenizer."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def body(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


@dataclass(frozen=True)
class Envelope:
    """What every body or chunk of one answer shares: id, time, model, fingerprint, tier."""

    kind: Kind
    model: str
    id: str
    created: int
    system_fingerprint: str | None
    service_tier: str | None = None

    @classmethod
    def new(
        cls, kind: Kind, model: str, fingerprint: str | None, service_tier: str | None = None
    ) -> "Envelope":
        prefix = "chatcmpl-" if kind == "chat" else "cmpl-"
        answer_id = prefix + secrets.token_hex(12)
        return cls(kind, model, answer_id, int(time.time()), fingerprint, service_tier)

    def body(self, choices: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        """The whole answer as one body."""
        return {**self._head(streamed=False), "choices": choices, "usage": usage.body()}

    def chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        """One piece of one choice."""
        return {**self._head(streamed=True), "choices": [choice]}

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The extra chunk that ``stream_options.include_usage`` asks for."""
        return {**self._head(streamed=True), "choices": [], "usage": usage.body()}

    def _head(self, *, streamed: bool) -> dict[str, Any]:
        chat = "chat.completion.chunk" if streamed else "chat.completion"
        head: dict[str, Any] = {
            "id": self.id,
            "object": chat if self.kind == "chat" else "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }
        if self.service_tier is not None:
            head["service_tier"] = self.service_tier
        return head


@dataclass(frozen=True)
class Ending:
    """How a choice ended. ``stop``: the stop string or token, vLLM's ``stop_reason``.

    ``closed``: a constrained answer that was brought to its end because tokens ran short.
    """

    reason: FinishReason
    stop: str | int | None = None
    closed: bool = False

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"finish_reason": self.reason, "stop_reason": self.stop}
        return {**fields, "closed_at_limit": True} if self.closed else fields


def chat_message(
    content: str | None, reasoning: str | None, tool_calls: list[dict[str, Any]]
) -> dict[str, Any]:
    """The assistant's turn; vLLM's two names for what was thought, where something was."""
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if reasoning is not None:
        message |= reasoning_fields(reasoning)
    if tool_calls:
        message["tool_calls"] = tool_calls
    return message


def reasoning_fields(text: str) -> dict[str, str]:
    return {"reasoning_content": text, "reasoning": text}


def chat_choice(
    index: int, message: dict[str, Any], ending: Ending, logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    """One choice of a whole chat answer."""
    return {"index": index, "message": message, "logprobs": logprobs, **ending.fields()}


def text_choice(
    index: int, text: str, ending: Ending | None, logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    """One choice of a text completion, whole or, without an ending, a piece of it."""
    end = ending.fields() if ending else {"finish_reason": None}
    return {"index": index, "text": text, "logprobs": logprobs, **end}


def chat_delta(
    index: int, delta: dict[str, Any], logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One piece of a streamed chat choice."""
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}


def chat_last(index: int, ending: Ending, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    """The closing piece of a streamed chat choice: an empty delta and the reason."""
    return {"index": index, "delta": {}, "logprobs": logprobs, **ending.fields()}


def model_entry(
    name: str,
    *,
    created: int,
    owned_by: str,
    root: str,
    parent: str | None,
    max_model_len: int | None,
) -> dict[str, Any]:
    """One entry of ``/v1/models``, with vLLM's ``root``, ``parent`` and ``max_model_len``."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": owned_by,
        "name": name,
        "root": root,
        "parent": parent,
        "max_model_len": max_model_len,
    }


def model_list(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of ``/v1/models``."""
    return {"object": "list", "data": entries}
