"""Answers that notice at once when their client goes away, also before the first byte.

Starlette's own streaming learns of a disconnect from the next send at the earliest; a
queued or prefilling request has none. Here the receiving side is watched all along, for
streamed and plain answers alike.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from wire.errors import AilianceError, http_status
from wire.sse import DONE, dumps

T = TypeVar("T")
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


async def until_disconnect(receive: Receive) -> None:
    """Returns when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_disconnected(work: Awaitable[T], receive: Receive) -> T | None:
    """The result of ``work``, or None if the client went away first; then it is cancelled."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(until_disconnect(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


class EventStream:
    """An ASGI response of server-sent events: chunks, then ``[DONE]`` or one error event."""

    def __init__(
        self,
        chunks: AsyncIterator[str],
        headers: Mapping[str, str],
        close: Callable[[], None],
    ) -> None:
        """``chunks``: JSON texts; ``close`` is always called at the end."""
        self._chunks = chunks
        self._headers = {**STREAM_HEADERS, **headers}
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_disconnected(self._send_all(send), receive)
        finally:
            self._close()

    async def _send_all(self, send: Send) -> None:
        await send(_start(200, self._headers))
        try:
            async for chunk in self._chunks:
                await send(_body(f"data: {chunk}\n\n"))
            tail = f"data: {DONE}\n\n"
        except AilianceError as error:
            tail = f"data: {dumps(error.envelope())}\n\n"
        await send({**_body(tail), "more_body": False})


class JsonAnswer:
    """An ASGI response that waits for its body, and gives up when the client does."""

    def __init__(
        self,
        body: Awaitable[dict[str, Any]],
        headers: Mapping[str, str],
        close: Callable[[], None],
    ) -> None:
        self._body = body
        self._headers = dict(headers)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, headers, body = 200, self._headers, None
            try:
                body = await unless_disconnected(self._body, receive)
            except AilianceError as error:
                status, body = http_status(error), error.envelope()
                headers = {**headers, **error.headers()}
            if body is None:
                return
            await send(_start(status, {**headers, "content-type": "application/json"}))
            await send({**_body(dumps(body)), "more_body": False})
        finally:
            self._close()


def _start(status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


def _body(text: str) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}
