"""Pure ASGI layers: request id, timing, log line, last resort for errors; body limit.

BaseHTTPMiddleware is not used: it breaks the detection of disconnects.
"""

import asyncio
import json
import logging
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.clock import now_s
from gateway.context import KEY, RequestContext, new_context
from wire.errors import AilianceError, RequestTooLarge, http_status

access_log = logging.getLogger("gateway.access")
error_log = logging.getLogger("gateway.errors")

DRAIN_MOST_BYTES = 64 << 20
DRAIN_MOST_S = 5.0


class RequestLayer:
    """Outermost: gives each request its context, its id header, its log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = scope[KEY] = new_context(scope)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                elapsed_ms = round((now_s() - context.start_s) * 1000)
                message["headers"] += [
                    (b"x-request-id", context.request_id.encode("latin-1")),
                    (b"openai-processing-ms", b"%d" % elapsed_ms),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            log_failure(error, context)
            if not status:
                await send_error(send_with_headers, AilianceError("internal error"))
        finally:
            _log_line(scope, status, context)


class BodyLimitLayer:
    """Refuses bodies above a size with 413: by their stated length, and by counting."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        stated = headers.get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > self._most_bytes:
            # a client waiting for "100 Continue" has sent nothing that must be read
            if b"expect" not in headers:
                await _drain(receive)
            await send_error(send, self._too_large())
            return
        count = 0

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                if count > self._most_bytes:
                    if message.get("more_body"):
                        await _drain(receive)
                    raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(f"the body is larger than {self._most_bytes} bytes")


async def send_error(send: Send, error: AilianceError) -> None:
    """An envelope straight to ASGI, for layers outside the routes."""
    body = json.dumps(error.envelope()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    status = http_status(error)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def log_failure(error: BaseException, context: RequestContext) -> None:
    """Where a bug is, without its message: that could hold text of the prompt."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(frames))
    error_log.error("request %s: %s at %s", context.request_id, type(error).__name__, where)


async def _drain(receive: Receive) -> None:
    # Most clients read no response before they have sent their whole body.
    count = 0
    try:
        async with asyncio.timeout(DRAIN_MOST_S):
            while count < DRAIN_MOST_BYTES:
                message = await receive()
                count += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _log_line(scope: Scope, status: int, context: RequestContext) -> None:
    route = scope.get("route")
    access_log.info(
        "%s %s %d %.1fms %s %s",
        scope["method"],
        getattr(route, "path", "-"),
        status,
        (now_s() - context.start_s) * 1000,
        context.request_id,
        context.model or "-",
    )
