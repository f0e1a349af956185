"""``POST /v1/chat/completions`` and ``/v1/completions``, plain and streamed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.context import context_of
from gateway.disconnect import ClientGone
from gateway.exchange import INLINE_BYTES, Exchange, Form
from gateway.metrics import Observation, Operation, error_type_of
from gateway.provenance import Provenance
from gateway.relay import CLIENT_GONE
from gateway.service import Gateway, Parsed
from gateway.session import session_of
from wire.errors import AilianceError
from wire.requests import parse_chat, parse_completion

router = APIRouter()
P = TypeVar("P")


@router.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    return await _answer(request, "chat", parse_chat)


@router.post("/v1/completions")
async def complete(request: Request) -> Response:
    return await _answer(request, "text_completion", parse_completion)


async def read_request(request: Request, parse: Callable[[bytes], P]) -> P:
    """The validated body; raises InvalidRequest, RequestTooLarge, ClientGone."""
    try:
        raw = await request.body()
    except ClientDisconnect:
        raise ClientGone from None
    return parse(raw) if len(raw) <= INLINE_BYTES else await asyncio.to_thread(parse, raw)


async def _answer(
    request: Request, operation: Operation, parse: Callable[[bytes], Parsed]
) -> Response:
    async def read() -> tuple[Parsed, None]:
        return await read_request(request, parse), None

    return await answer(request, operation, read)


async def answer(
    request: Request,
    operation: Operation,
    read: Callable[[], Awaitable[tuple[Parsed, Form | None]]],
) -> Response:
    """What the upstream answers to what ``read`` gives, counted once whatever happens."""
    gateway: Gateway = request.app.state.gateway
    context = context_of(request)
    observation = Observation(gateway.metrics, operation, context.start_s, gateway.known_names)
    error_type, streamed = "internal_error", False
    try:
        parsed, form = await read()
        exchange = await _plan(gateway, parsed, form, request, observation)
        response = await exchange.run()
        error_type, streamed = "", parsed.stream
    except AilianceError as error:
        error_type = error_type_of(error)
        raise
    except ClientGone:
        error_type = CLIENT_GONE
        raise
    finally:
        # a stream that was opened ends its own observation
        if not streamed:
            observation.end(error_type)
    return response


async def _plan(
    gateway: Gateway,
    parsed: Parsed,
    form: Form | None,
    request: Request,
    observation: Observation,
) -> Exchange:
    route = (await gateway.route(parsed, session_of(request.headers))).route
    context = context_of(request)
    # base:adapter is a form, not a listed name: labels carry the listed name of its route
    listed = parsed.model in gateway.known_names
    name = parsed.model if listed else gateway.names.public(route.base, route.adapter)
    context.model = observation.request_model = name
    context.headers = Provenance().headers(route)
    observation.base = route.base
    gateway.metrics.decisions.labels(route.domain or "none", route.reason).inc()
    return Exchange(gateway, gateway.asked(route), parsed, request, observation, form)
