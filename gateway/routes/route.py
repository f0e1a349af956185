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


@router.post("/v1/route")
async def dry_run(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    parsed = await read_request(request, parse_route)
    session = session_of(request.headers)
    route, decision = await gateway.route(parsed, session)
    name = gateway.names.public(route.base, route.adapter)
    context_of(request).model = name
    answer = {
        "model": name,
        "base": route.base,
        "adapter": route.adapter,
        "domain": route.domain,
        "confidence": route.confidence,
        "reason": route.reason,
        "scores": decision.scores if decision is not None else {},
        "router": gateway.router.digest if decision is not None else None,
    }
    if parsed.explain:
        answer["explanation"] = None
        if decision is not None and isinstance(gateway.router, Router):
            # nearest exemplars and counterfactuals: tens of milliseconds
            told = await asyncio.to_thread(
                explain, gateway.router, turns_of(parsed), gateway.topic_of(session)
            )
            answer["explanation"] = told.as_dict()
    return JSONResponse(answer)
