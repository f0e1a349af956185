"""``POST /v1/route``: where a chat request would go, without sending it there."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.context import context_of
from gateway.routes.generate import read_request
from gateway.service import Gateway, turns_of
from gateway.session import session_of
from router import Router
from router.explaining import explain
from wire.requests import parse_route

router = APIRouter()


EXPLANATIONS = asyncio.Semaphore(1)
"""One at a time: the first of a router indexes its exemplars, which takes seconds."""


@router.post("/v1/route")
async def dry_run(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    parsed = await read_request(request, parse_route)
    routed = await gateway.route(parsed, session_of(request.headers))
    route, by = routed.route, routed.by
    name = gateway.names.public(route.base, route.adapter)
    context_of(request).model = name
    answer = {
        "model": name,
        "base": route.base,
        "adapter": route.adapter,
        "domain": route.domain,
        "confidence": route.confidence,
        "reason": route.reason,
        "evidence": route.lacking.body() if route.lacking is not None else None,
        "warning": route.warning,
        "scores": by.decision.scores if by is not None else {},
        "router": by.router.digest if by is not None else None,
    }
    if parsed.explain:
        answer["explanation"] = None
        if by is not None and isinstance(by.router, Router):
            async with EXPLANATIONS:
                told = await asyncio.to_thread(explain, by.router, turns_of(parsed), by.earlier)
            answer["explanation"] = told.as_dict()
    return JSONResponse(answer)
