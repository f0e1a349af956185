"""One generation: the request to the upstream of its route, the answer back to the client.

The upstream is always asked for a completion; in which API its answer reaches the client is the
business of a ``Form``.
"""

import asyncio
import json
from typing import Any, Protocol, cast

import httpx
from starlette.requests import Request
from starlette.responses import Response

from gateway.clock import now_s
from gateway.context import context_of
from gateway.disconnect import unless_gone
from gateway.metrics import Observation
from gateway.provenance import GENERATED, Asked, Provenance, of_body, of_headers
from gateway.relay import Events, RelayResponse
from gateway.service import Gateway, Parsed
from gateway.stream_events import StreamEvents
from gateway.upstream import Chunks
from wire.errors import UpstreamFailed
from wire.sampling import StreamOptions
from wire.sse import dumps

INLINE_BYTES = 64 << 10  # a larger body is parsed in a thread, not on the event loop
PASSED_ON = ("traceparent", "tracestate")


class Form(Protocol):
    """The API that the client spoke."""

    path: str
    """Where the upstream is asked."""
    keeps_usage: bool
    """The usage in a stream is for the client too."""

    async def plain(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The body for the client, of an upstream's answer with its provenance."""
        ...

    def events(self, chunks: StreamEvents) -> Events:
        """What rewrites a stream; ``chunks`` does it for completions."""
        ...


class AsAsked:
    """The client spoke the upstream's own API."""

    def __init__(self, path: str, parsed: Parsed) -> None:
        options = parsed.stream_options
        self.path = path
        self.keeps_usage = options is not None and options.include_usage

    async def plain(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer

    def events(self, chunks: StreamEvents) -> Events:
        return chunks


class Exchange:
    """``run`` once; the response is complete, or a stream that is open upstream."""

    def __init__(
        self,
        gateway: Gateway,
        asked: Asked,
        parsed: Parsed,
        request: Request,
        observation: Observation,
        form: Form | None = None,
    ) -> None:
        self._gateway = gateway
        self._asked = asked
        self._parsed = parsed
        self._request = request
        self._context = context_of(request)
        self._observation = observation
        self._upstream = gateway.upstreams[asked.route.base]
        self._form = form or AsAsked(request.scope["path"], parsed)

    async def run(self) -> Response:
        """Raises ClientGone when the client goes first; the upstream call is then cancelled."""
        body, headers = self._body(), self._headers()
        path = self._form.path
        call = self._stream if self._parsed.stream else self._plain
        return await unless_gone(self._request.receive, call(path, body, headers))

    async def _plain(self, path: str, body: bytes, headers: dict[str, str]) -> Response:
        sent_s = now_s()
        response = await self._upstream.post(path, body, headers)
        raw = await self._upstream.read(response)
        self._context.upstream_s += now_s() - sent_s
        # many log-probabilities are megabytes: read and written beside the event loop
        large = len(raw) > INLINE_BYTES
        answer = await asyncio.to_thread(_answer_of, raw) if large else _answer_of(raw)
        told = of_body(answer, self._asked, self._gateway.names)
        if told.model is not None:
            answer["model"] = told.model
        answer["ailiance"] = told.body(self._asked.route, is_generated=True)
        self._observe(told, answer.get("usage"))
        shaped = await self._form.plain(answer)
        shown = await asyncio.to_thread(dumps, shaped) if large else dumps(shaped)
        return Response(shown, media_type="application/json", headers=self._answer_headers(told))

    async def _stream(self, path: str, body: bytes, headers: dict[str, str]) -> Response:
        sent_s = now_s()
        response = await self._upstream.post(path, body, headers)
        self._context.upstream_s += now_s() - sent_s
        told = of_headers(response.headers, self._gateway.names)
        chunks = StreamEvents(
            self._asked,
            self._gateway.names,
            self._observation,
            keep_usage=self._form.keeps_usage,
        )
        return RelayResponse(
            self._chunks(response),
            self._form.events(chunks),
            self._observation,
            self._gateway.streams,
            self._answer_headers(told),
        )

    def _chunks(self, response: httpx.Response) -> Chunks:
        return Chunks(self._upstream, response)

    def _body(self) -> bytes:
        change: dict[str, Any] = {"model": self._asked.upstream_model}
        if self._parsed.stream:
            # always asked for, so that token metrics are true; dropped again if not wanted
            change["stream_options"] = StreamOptions(include_usage=True)
        request = self._parsed.model_copy(update=change)
        return request.model_dump_json(exclude_unset=True, exclude={"adapters"}).encode()

    def _headers(self) -> dict[str, str]:
        given = self._request.headers
        headers = {name: given[name] for name in PASSED_ON if name in given}
        return headers | {"x-request-id": self._context.request_id}

    def _answer_headers(self, told: Provenance) -> dict[str, str]:
        overhead_s = self._context.overhead_s()
        self._gateway.metrics.overhead.observe(overhead_s)
        headers = told.headers(self._asked.route) | GENERATED
        headers["x-ailiance-overhead-ms"] = f"{overhead_s * 1000:.2f}"
        return headers

    def _observe(self, told: Provenance, usage: Any) -> None:
        self._observation.on_answered(told.model)
        if isinstance(usage, dict):
            self._observation.on_usage(cast(dict[str, Any], usage))


def _answer_of(raw: bytes) -> dict[str, Any]:
    try:
        answer: Any = json.loads(raw)
    except ValueError:
        raise UpstreamFailed("the answer from upstream is not JSON") from None
    found = cast(dict[str, Any], answer) if isinstance(answer, dict) else {}
    choices: Any = found.get("choices")
    if not choices or not isinstance(choices, list):
        raise UpstreamFailed("the answer from upstream holds no choices")
    return found
