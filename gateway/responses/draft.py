"""The ``response`` object around an answer's items: what was asked, how it ended.

Source: openai-python 3.5, ``types/responses/response.py``. Pure, apart from ``new_id``.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from wire.errors import UpstreamError
from wire.responses_api import ResponsesRequest

Body = dict[str, Any]
Status = Literal["in_progress", "completed", "incomplete", "failed"]

# finish_reason of a chat -> why the response is incomplete; any other completes it
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}

# fields of a chat -> what they are called here, for errors that the upstream raises
PARAMS = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
}


def new_id() -> str:
    return f"resp_{secrets.token_hex(24)}"


@dataclass
class Draft:
    """One response from its request on. ``provenance`` and ``model`` are set once known."""

    request: ResponsesRequest
    created_at: int
    is_stored: bool
    id: str = field(default_factory=new_id)
    model: str = ""
    provenance: Body | None = None
    usage: Body | None = None

    def body(self, status: Status, output: list[Body], **ending: Any) -> Body:
        """The object as it stands; ``ending``: completed_at, incomplete_details, error."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "model": self.model or self.request.model,
            "output": output,
            **_asked(self.request),
            "store": self.is_stored,
            "usage": self.usage,
            "ailiance": self.provenance,
        } | ending

    def finished(self, output: list[Body], finish_reason: str | None, now: int) -> Body:
        reason = INCOMPLETE.get(finish_reason or "")
        if reason is None:
            return self.body("completed", output, completed_at=now)
        return self.body("incomplete", output, incomplete_details={"reason": reason})

    def failed(self, output: list[Body], error: Body) -> Body:
        return self.body("failed", output, error=error)


def _asked(request: ResponsesRequest) -> Body:
    text, reasoning = request.text, request.reasoning
    given = text.format if text else None
    shown = given.model_dump(exclude_unset=True) if given else {"type": "text"}
    choice = request.tool_choice
    return {
        "background": False,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": None,
        "metadata": request.metadata or {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": reasoning.effort if reasoning else None, "summary": None},
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        # null: the server's own value for the model, which is not known here
        "temperature": request.temperature,
        "text": {"format": shown, "verbosity": "medium"},
        "tool_choice": choice if isinstance(choice, str) else _dump(choice) or "auto",
        "tools": [
            _dump(t) | {"parameters": t.parameters, "strict": t.strict} for t in request.tools or []
        ],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "truncation": "disabled",
        "user": request.user,
    }


def _dump(model: Any) -> Body:
    return {} if model is None else model.model_dump(exclude_unset=True)


def usage_of(usage: Any) -> Body | None:
    """A chat's token counts under the names of this API; None where it told none."""
    if not isinstance(usage, dict):
        return None
    counts = cast(Body, usage)
    inputs = _count(counts, "prompt_tokens")
    outputs = _count(counts, "completion_tokens")
    cached = _count(counts.get("prompt_tokens_details"), "cached_tokens")
    thought = _count(counts.get("completion_tokens_details"), "reasoning_tokens")
    return {
        "input_tokens": inputs,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": inputs + outputs,
    }


def _count(counts: Any, name: str) -> int:
    value = cast(Body, counts).get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) else 0


def error_of(envelope: Body) -> Body:
    """An error of the tree as ``response.error``, whose codes are a short list of OpenAI's."""
    codes = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}
    kind = envelope.get("type")
    return {
        "code": codes.get(kind if isinstance(kind, str) else "", "server_error"),
        "message": str(envelope.get("message") or "the answer failed"),
        "type": kind,
        "param": renamed(envelope.get("param")),
    }


def renamed(param: Any) -> str | None:
    """A chat's field by its name here."""
    if not isinstance(param, str):
        return None
    return PARAMS.get(param.split("[")[0].split(".")[0], param)


def in_our_terms(error: UpstreamError) -> UpstreamError:
    """The upstream's refusal of a chat, with ``param`` as the client knows it."""
    shown = error.error | {"param": renamed(error.error.get("param"))}
    told = UpstreamError(error.upstream_status, shown)
    told.retry_after_s = error.retry_after_s
    return told
