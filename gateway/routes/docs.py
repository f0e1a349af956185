"""``GET /openapi.json`` and ``/docs``: what this API is, for programs and for people.

Both are made on the first request for either, and again once the names that they show are others.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from html import escape

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fleet.names import Names
from fleet.schema import Fleet
from gateway.openapi import Served, document
from gateway.openapi.page import ORIGIN, POLICY, page
from gateway.service import Gateway

router = APIRouter()

_HOST = re.compile(r"[A-Za-z0-9._\[\]:-]{1,255}", re.ASCII)
_PAGE_HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class Documents:
    """As they are sent; ``page`` has ``ORIGIN`` where the address of the gateway belongs."""

    served: Served
    """The names that they show."""
    openapi: bytes
    page: str


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    made = await _documents(request)
    return Response(made.openapi, media_type="application/json")


@router.get("/docs")
async def docs(request: Request) -> Response:
    made = await _documents(request)
    host = request.headers.get("host", "")
    # what does not look like a host would go into a shell by the page's examples
    origin = f"{request.url.scheme}://{host}" if _HOST.fullmatch(host) else "http://127.0.0.1:9300"
    return HTMLResponse(made.page.replace(ORIGIN, escape(origin)), headers=_PAGE_HEADERS)


def served_of(fleet: Fleet, names: Names) -> Served:
    """Names of this fleet for the examples."""
    base = fleet.fallback_base
    embedder = next((b for b, served in fleet.bases.items() if served.embeddings), base)
    return Served(
        auto=fleet.prefix,
        base=names.public(base, None),
        base_id=base,
        embedder=names.public(embedder, None),
        models=tuple(name for name, _ in names.items()),
    )


def make(served: Served) -> Documents:
    """Both, in about 0.1 s."""
    found = document(served)
    return Documents(served, json.dumps(found, ensure_ascii=False).encode(), page(found))


async def _documents(request: Request) -> Documents:
    state = request.app.state
    gateway: Gateway = state.gateway
    served = served_of(gateway.fleet, gateway.names)
    made: Documents | None = getattr(state, "documents", None)
    if made is None or made.served != served:
        made = state.documents = await asyncio.to_thread(make, served)
    return made
