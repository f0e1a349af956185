"""A chat's stream as the events of a response. Pure: strings in, bytes out, no I/O.

``StreamEvents`` does what it does for a chat (provenance, public name, usage, faults); what it
gives is read here once more and told as typed events. Exactly one terminal event:
``response.completed``, ``response.incomplete`` or ``response.failed``; no ``[DONE]``.
"""

import json
from collections.abc import Callable
from typing import Any, cast

from gateway.metrics import error_type_of
from gateway.responses.draft import INCOMPLETE, Body, Draft, Status, error_of, usage_of
from gateway.responses.output import Outputs
from gateway.stream_events import StreamEvents, is_chunk
from wire.errors import AilianceError, UpstreamFailed
from wire.sse import DONE, SSEDecoder, dumps, encode_data


class ResponseEvents:
    """Has the face of ``StreamEvents``. ``on_finished`` gets the response as it ended, once."""

    def __init__(
        self,
        chunks: StreamEvents,
        draft: Draft,
        *,
        now: Callable[[], float],
        on_finished: Callable[[Body], None],
    ) -> None:
        self._chunks = chunks
        self._draft = draft
        self._now = now
        self._on_finished = on_finished
        self._outputs = Outputs(draft.id)
        self._finish_reason: str | None = None
        self._begun = False
        self._number = 0
        self.ended = False
        self.error_type = ""

    def on_data(self, data: str) -> bytes:
        """The bytes for one event; empty where the client gets nothing."""
        return self._tell(self._chunks.on_data(data))

    def on_error(self, error: AilianceError) -> bytes:
        """The failed response that ends the stream."""
        return self._tell(self._chunks.on_error(error))

    def on_end(self) -> bytes:
        """The upstream's bytes ended; nothing if the terminal event was sent."""
        return b"" if self.ended else self._tell(self._chunks.on_end())

    def _tell(self, raw: bytes) -> bytes:
        out = b"".join(self._on_chunk(data) for data in SSEDecoder().feed(raw))
        self.error_type = self.error_type or self._chunks.error_type
        return out

    def _on_chunk(self, data: str) -> bytes:
        if self.ended:
            return b""
        if data == DONE:
            return self._finish()
        try:
            chunk = _chunk_of(data)
            if "error" in chunk:
                return self._begin() + self._fail(chunk["error"])
            return self._on_delta(chunk)
        except UpstreamFailed as error:
            return self._broken(error)

    def _on_delta(self, chunk: Body) -> bytes:
        draft = self._draft
        draft.usage = usage_of(chunk.get("usage")) or draft.usage
        if not self._begun:
            draft.model = str(chunk.get("model") or "")
            draft.provenance = chunk.get("ailiance")
        out = self._begin()
        for choice in cast(list[Body], chunk.get("choices") or []):
            if choice.get("index", 0) != 0:
                continue
            delta = cast(Body, choice.get("delta") or {})
            out += self._encode(self._outputs.feed(delta, choice.get("logprobs")))
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return out

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        body = self._draft.body("in_progress", [])
        names = ("response.created", "response.in_progress")
        return self._encode([{"type": name, "response": body} for name in names])

    def _finish(self) -> bytes:
        if self._finish_reason is None:
            return self._broken(UpstreamFailed("the stream ended without saying why"))
        events = self._outputs.finish(complete=self._finish_reason not in INCOMPLETE)
        body = self._draft.finished(self._outputs.items, self._finish_reason, int(self._now()))
        return self._encode(events) + self._last(body)

    def _broken(self, error: UpstreamFailed) -> bytes:
        self.error_type = error_type_of(error)
        return self._fail(error.envelope()["error"])

    def _fail(self, error: Body) -> bytes:
        if self._outputs.items:
            # what came stands in the response; its items were never done, and get no such event
            self._outputs.finish(complete=False)
        return self._last(self._draft.failed(self._outputs.items, error_of(error)))

    def _last(self, body: Body) -> bytes:
        self.ended = True
        self._on_finished(body)
        status: Status = body["status"]
        return self._encode([{"type": f"response.{status}", "response": body}])

    def _encode(self, events: list[Body]) -> bytes:
        out = b""
        for event in events:
            named: dict[str, Any] = event | {"sequence_number": self._number}
            self._number += 1
            out += b"event: " + event["type"].encode() + b"\n" + encode_data(dumps(named))
        return out


def _chunk_of(data: str) -> Body:
    """``StreamEvents`` passes most chunks on without reading them. Raises UpstreamFailed."""
    try:
        chunk: Any = json.loads(data)
    except ValueError:
        raise UpstreamFailed("the stream held an event that is not JSON") from None
    if not is_chunk(chunk):
        raise UpstreamFailed("the stream held an event that is no chunk")
    return chunk
