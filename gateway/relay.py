"""SSE to the client: upstream's stream, pings on a wall clock, exactly one terminal event.

The only module that imports sse-starlette, which patches uvicorn's exit handler on import.
"""

from collections.abc import AsyncIterator
from typing import Protocol

import anyio
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from gateway.metrics import Observation
from wire.errors import AilianceError, EngineFailed
from wire.sse import SSEDecoder

CLIENT_GONE = "client_disconnected"


class ByteStream(Protocol):
    """What is relayed: chunks of bytes that raise AilianceError where they break."""

    def __aiter__(self) -> "ByteStream": ...
    async def __anext__(self) -> bytes: ...
    def stop(self) -> None: ...
    async def aclose(self) -> None: ...


class Events(Protocol):
    """What turns an upstream's events into the client's; ``ended`` after the terminal one."""

    @property
    def ended(self) -> bool: ...
    @property
    def error_type(self) -> str: ...
    def on_data(self, data: str) -> bytes: ...
    def on_error(self, error: AilianceError) -> bytes: ...
    def on_end(self) -> bytes: ...


class OpenStreams:
    """The streams being relayed, so that shutdown can end each with an error event."""

    def __init__(self, ping_s: float = 15.0) -> None:
        self.ping_s = ping_s
        self._open: set[ByteStream] = set()

    def add(self, stream: ByteStream) -> None:
        self._open.add(stream)

    def remove(self, stream: ByteStream) -> None:
        self._open.discard(stream)

    def __len__(self) -> int:
        return len(self._open)

    def stop_all(self) -> None:
        for stream in list(self._open):
            stream.stop()


async def relay(source: ByteStream, events: Events) -> AsyncIterator[bytes]:
    """Bytes for the client, ending in exactly one terminal event."""
    decoder = SSEDecoder()
    try:
        async for chunk in source:
            out = _rewrite(decoder, events, chunk)
            if out:
                yield out
            if events.ended:
                return
        last = events.on_end()
    except AilianceError as error:
        last = events.on_error(error)
    except Exception:
        # our own bug: the client still gets its terminal event, the log gets the rest
        yield events.on_error(EngineFailed("the gateway failed to relay the stream"))
        raise
    yield last


def _rewrite(decoder: SSEDecoder, events: Events, chunk: bytes) -> bytes:
    out: list[bytes] = []
    for data in decoder.feed(chunk):
        out.append(events.on_data(data))
        if events.ended:
            break
    return b"".join(out)


class RelayResponse(EventSourceResponse):
    """The relayed stream as a response; whatever ends it, the upstream is closed at once.

    Cancelled when the client goes away; the worker then sees its connection close. The
    cleanup stands here and not in ``relay``, which a client that goes at once never starts.
    """

    def __init__(
        self,
        source: ByteStream,
        events: Events,
        observation: Observation,
        streams: OpenStreams,
        headers: dict[str, str],
    ) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            relay(source, events),
            headers={"Cache-Control": "no-cache"} | headers,
            ping=streams.ping_s,
            sep="\n",
            ping_message_factory=_ping,
        )
        self._source = source
        self._events = events
        self._observation = observation
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams.add(self._source)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.remove(self._source)
            ended = self._events.ended
            self._observation.end(self._events.error_type if ended else CLIENT_GONE)
            # shielded: in a cancelled anyio scope every further await would be cancelled
            with anyio.move_on_after(1, shield=True):
                await self._source.aclose()


def _ping() -> ServerSentEvent:
    # openai clients take comments as pings, and nothing else
    return ServerSentEvent(comment="ping", sep="\n")
