"""What the gateway knows of one HTTP request besides its body; lives in the ASGI scope."""

import secrets
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request
from starlette.types import Scope

from gateway.clock import now_s

KEY = "ailiance.context"
MAX_REQUEST_ID = 128


@dataclass(slots=True)
class RequestContext:
    """``upstream_s`` is time spent waiting for the upstream, which is not our overhead."""

    request_id: str
    start_s: float = field(default_factory=now_s)
    upstream_s: float = 0.0
    model: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def overhead_s(self) -> float:
        return now_s() - self.start_s - self.upstream_s


def context_of(request: Request) -> RequestContext:
    return cast(RequestContext, request.scope[KEY])


def new_context(scope: Scope) -> RequestContext:
    """With the client's ``x-request-id`` if it is printable and short, else our own."""
    given = _header(scope, b"x-request-id")
    sane = 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable()
    return RequestContext(given if sane else f"req_{secrets.token_hex(12)}")


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return cast(bytes, value).decode("latin-1")
    return ""
