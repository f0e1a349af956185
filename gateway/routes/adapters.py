"""``POST /v1/load_lora_adapter`` and ``/v1/unload_lora_adapter``, vLLM's; ``GET /v1/adapters``.

All three are for administrators (``gateway/admin/access.py``), and say so before they read a body.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.admin.access import Access
from gateway.admin.administration import Administration
from gateway.admin.listing import adapters, check
from gateway.admin.requests import parse_load, parse_unload
from gateway.routes.generate import read_request

router = APIRouter()


@router.post("/v1/load_lora_adapter")
async def load(request: Request) -> Response:
    admin = _administration(request)
    return PlainTextResponse(await admin.load(await read_request(request, parse_load)))


@router.post("/v1/unload_lora_adapter")
async def unload(request: Request) -> Response:
    admin = _administration(request)
    asked = await read_request(request, parse_unload)
    return PlainTextResponse(await admin.unload(asked.lora_name))


@router.get("/v1/adapters")
async def list_adapters(request: Request) -> Response:
    admin = _administration(request)
    if (asked := request.query_params.get("check")) is not None:
        await check(admin, asked)
    return JSONResponse({"object": "list", "data": await adapters(admin)})


def _administration(request: Request) -> Administration:
    """Raises InvalidApiKey or PermissionDenied."""
    access: Access = request.app.state.access
    access.check(request.headers)
    return request.app.state.administration
