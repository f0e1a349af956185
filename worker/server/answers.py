"""One generation to the body or the chunks of its answer."""

from collections.abc import AsyncIterator
from typing import Any

from wire.responses import Envelope
from wire.sse import dumps
from worker.engine.engine import Generation
from worker.engine.request import Failed, Text


async def plain_body(
    generation: Generation, envelope: Envelope, provenance: dict[str, Any]
) -> dict[str, Any]:
    """The whole answer. Raises what the engine reported."""
    parts: list[str] = []
    async for event in generation.events():
        if isinstance(event, Text):
            parts.append(event.text)
        elif isinstance(event, Failed):
            raise event.error
        else:
            body = envelope.plain("".join(parts), event.reason, event.usage)
            return {**body, "ailiance": provenance}
    raise AssertionError("a generation ended without a terminal event")


async def stream_chunks(
    generation: Generation, envelope: Envelope, provenance: dict[str, Any], include_usage: bool
) -> AsyncIterator[str]:
    """JSON texts of the chunks, the first at once: it says that the request was taken on.

    Raises what the engine reported.
    """
    # `usage: null` on each chunk but the extra one, once the client asked for usage
    null: dict[str, Any] = {"usage": None} if include_usage else {}
    yield dumps({**envelope.first(), "ailiance": provenance, **null})
    async for event in generation.events():
        if isinstance(event, Text):
            yield dumps({**envelope.delta(event.text), **null})
        elif isinstance(event, Failed):
            raise event.error
        else:
            yield dumps({**envelope.last(event.reason), **null})
            if include_usage:
                yield dumps(envelope.usage(event.usage))
