"""``GET /health`` and ``/metrics``."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.exposition import CONTENT_TYPE, render
from gateway.service import Gateway

router = APIRouter()


@router.api_route("/health", methods=["GET", "HEAD"])  # load balancers probe with HEAD
async def health(request: Request) -> Response:
    """200 while every worker is ready; a base served elsewhere is not asked."""
    gateway: Gateway = request.app.state.gateway
    phases = gateway.phases
    ready = all(phase == "ready" for phase in phases.values())
    starting = any(phase == "starting" for phase in phases.values())
    body = {
        "status": "ok" if ready else "starting" if starting else "degraded",
        "bases": {base: phases.get(base, "external") for base in gateway.fleet.bases},
    }
    return JSONResponse(body, status_code=200 if ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Ours and those of our workers, each asked for at most a second."""
    gateway: Gateway = request.app.state.gateway
    workers = [
        upstream
        for base, upstream in gateway.upstreams.items()
        if gateway.fleet.bases[base].engine == "mlx"
    ]
    answers = await asyncio.gather(*(worker.probe("/metrics") for worker in workers))
    texts = [a.text for a in answers if a is not None and a.status_code == 200]
    body = await asyncio.to_thread(render, gateway.metrics.registry, texts)
    return Response(body, headers={"content-type": CONTENT_TYPE})
