"""``POST /v1/embeddings``: the vectors of the base that a name means.

Vectors of different bases can't be compared, so nothing is routed by text: a name that
leaves the choice to the router is refused, as is an adapter's and that of a base without
``embeddings: true``.
"""

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import httpx
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fleet.names import Auto, Names
from fleet.schema import Fleet
from gateway.clock import now_s
from gateway.context import context_of
from gateway.disconnect import ClientGone, unless_gone
from gateway.exchange import INLINE_BYTES, PASSED_ON
from gateway.metrics import Observation, error_type_of
from gateway.provenance import Asked, Provenance, of_body
from gateway.relay import CLIENT_GONE
from gateway.routes.generate import read_request
from gateway.routing import Route, find_target
from gateway.service import Gateway
from wire.embeddings import EmbeddingRequest, parse_embedding
from wire.errors import AilianceError, InvalidRequest, UpstreamFailed
from wire.sse import dumps

router = APIRouter()


@router.post("/v1/embeddings")
async def create_embedding(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    context = context_of(request)
    observation = Observation(gateway.metrics, "embeddings", context.start_s, gateway.known_names)
    with _observed(observation):
        parsed = await read_request(request, parse_embedding)
        route = plan_embedder(gateway.names, gateway.fleet, parsed.model)
        listed = parsed.model in gateway.known_names
        name = parsed.model if listed else gateway.names.public(route.base, None)
        context.model = observation.request_model = name
        context.headers = Provenance().headers(route)
        observation.base = route.base
        gateway.metrics.decisions.labels("none", route.reason).inc()
        exchange = _Exchange(gateway, gateway.asked(route), request, observation)
        return await unless_gone(request.receive, exchange.run(parsed))


def plan_embedder(names: Names, fleet: Fleet, model: str) -> Route:
    """The base that ``model`` names. Raises ModelNotFound, InvalidRequest."""
    target = find_target(names, fleet, model, None)
    if isinstance(target, Auto):
        raise InvalidRequest(
            f"'{model}' lets the router choose, and vectors of different bases can't be compared; "
            f"name a base: {_bases_served(names, fleet)}",
            param="model",
        )
    base = target.base
    if target.adapter is not None:
        raise InvalidRequest(
            f"'{model}' is an adapter, and embeddings are those of its base; "
            f"name '{names.public(base, None)}'",
            param="model",
        )
    if not fleet.bases[base].embeddings:
        raise InvalidRequest(
            f"base '{base}' serves no embeddings; set bases.{base}.embeddings: true",
            param="model",
        )
    return Route(base, None, "explicit")


def _bases_served(names: Names, fleet: Fleet) -> str:
    serving = [names.public(name, None) for name, base in fleet.bases.items() if base.embeddings]
    return ", ".join(serving) or "none serves embeddings; set bases.NAME.embeddings: true"


class _Exchange:
    """One request to the server of its base, and the answer with the names made public."""

    def __init__(
        self, gateway: Gateway, asked: Asked, request: Request, observation: Observation
    ) -> None:
        self._gateway = gateway
        self._asked = asked
        self._request = request
        self._context = context_of(request)
        self._observation = observation

    async def run(self, parsed: EmbeddingRequest) -> Response:
        sent = parsed.model_copy(update={"model": self._asked.upstream_model})
        sent_s = now_s()
        raw = await self._post(sent.model_dump_json(exclude_unset=True).encode())
        self._context.upstream_s += now_s() - sent_s
        # a thousand vectors are megabytes: read and written beside the event loop
        large = len(raw) > INLINE_BYTES
        given = (raw, self._asked, self._gateway.names)
        told, tokens, body = (
            await asyncio.to_thread(_rewrite, *given) if large else _rewrite(*given)
        )
        self._observation.on_answered(told.model)
        self._observation.input_tokens = tokens
        return Response(body, media_type="application/json", headers=self._headers_of(told))

    async def _post(self, body: bytes) -> bytes:
        given, upstream = self._request.headers, self._gateway.upstreams[self._asked.route.base]
        headers = {name: given[name] for name in PASSED_ON if name in given}
        headers["x-request-id"] = self._context.request_id
        response: httpx.Response = await upstream.post("/v1/embeddings", body, headers)
        return await upstream.read(response)

    def _headers_of(self, told: Provenance) -> dict[str, str]:
        overhead_s = self._context.overhead_s()
        self._gateway.metrics.overhead.observe(overhead_s)
        headers = told.headers(self._asked.route)
        headers["x-ailiance-overhead-ms"] = f"{overhead_s * 1000:.2f}"
        return headers


def _rewrite(raw: bytes, asked: Asked, names: Names) -> tuple[Provenance, int | None, bytes]:
    """What answered, the tokens it read, and the answer for the client. Raises UpstreamFailed."""
    try:
        answer: Any = json.loads(raw)
    except ValueError:
        raise UpstreamFailed("the answer from upstream is not JSON") from None
    body = cast(dict[str, Any], answer) if isinstance(answer, dict) else {}
    vectors: Any = body.get("data")
    if not vectors or not isinstance(vectors, list):
        raise UpstreamFailed("the answer from upstream holds no embeddings")
    told = of_body(body, asked, names)
    if told.model is not None:
        body["model"] = told.model
    body["ailiance"] = told.body(asked.route)
    return told, _tokens_in(body.get("usage")), dumps(body).encode()


def _tokens_in(usage: Any) -> int | None:
    count = cast(dict[str, Any], usage).get("prompt_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


@contextmanager
def _observed(observation: Observation) -> Generator[None]:
    """Counts the request, whatever ends it."""
    error_type = "internal_error"
    try:
        yield
        error_type = ""
    except AilianceError as error:
        error_type = error_type_of(error)
        raise
    except ClientGone:
        error_type = CLIENT_GONE
        raise
    finally:
        observation.end(error_type)
