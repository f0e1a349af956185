"""``POST /v1/route``: where a chat request would go, without sending it there."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.context import context_of
from gateway.routes.generate import read_request
from gateway.service import Gateway
from wire.requests import parse_chat

router = APIRouter()


@router.post("/v1/route")
async def dry_run(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    parsed = await read_request(request, parse_chat)
    route, decision = await gateway.route(parsed)
    name = gateway.names.public(route.base, route.adapter)
    context_of(request).model = name
    return JSONResponse(
        {
            "model": name,
            "base": route.base,
            "adapter": route.adapter,
            "domain": route.domain,
            "confidence": route.confidence,
            "reason": route.reason,
            "scores": decision.scores if decision is not None else {},
        }
    )
