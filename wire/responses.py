"""Builders of response bodies: chat completions, chunks, text completions, models.

Plain dictionaries rather than pydantic models: a chunk is built for every token of every
row, and its shape is fixed here in one place.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["chat", "text"]
FinishReason = Literal["stop", "length"]


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
    """What every body or chunk of one answer shares: id, time, model, fingerprint."""

    kind: Kind
    model: str
    id: str
    created: int
    system_fingerprint: str | None

    @classmethod
    def new(cls, kind: Kind, model: str, fingerprint: str | None) -> "Envelope":
        prefix = "chatcmpl-" if kind == "chat" else "cmpl-"
        return cls(kind, model, prefix + secrets.token_hex(12), int(time.time()), fingerprint)

    def plain(self, text: str, finish: FinishReason, usage: Usage) -> dict[str, Any]:
        """The whole answer as one body."""
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish}
        if self.kind == "chat":
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        return {**self._head(streamed=False), "choices": [choice], "usage": usage.body()}

    def first(self) -> dict[str, Any]:
        """The opening chunk: the role, no text."""
        return self._chunk({"role": "assistant", "content": ""}, "", None)

    def delta(self, text: str) -> dict[str, Any]:
        """A chunk with text."""
        return self._chunk({"content": text}, text, None)

    def last(self, finish: FinishReason) -> dict[str, Any]:
        """The closing chunk: an empty delta and the reason."""
        return self._chunk({}, "", finish)

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The extra chunk that ``stream_options.include_usage`` asks for."""
        return {**self._head(streamed=True), "choices": [], "usage": usage.body()}

    def _head(self, *, streamed: bool) -> dict[str, Any]:
        chat = "chat.completion.chunk" if streamed else "chat.completion"
        return {
            "id": self.id,
            "object": chat if self.kind == "chat" else "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }

    def _chunk(
        self, delta: dict[str, Any], text: str, finish: FinishReason | None
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish}
        if self.kind == "chat":
            choice["delta"] = delta
        else:
            choice["text"] = text
        return {**self._head(streamed=True), "choices": [choice]}


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
