"""``GET /v1/models/{id}/card``: an adapter's card as JSON, as a page, or as it was written."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from fleet.cards import CardError
from gateway.cards.page import PAGE_HEADERS, page
from gateway.cards.shelf import Held, Shelf
from gateway.routes.models import get_model
from gateway.service import Gateway
from wire.errors import InvalidRequest, ModelNotFound, NotFound

router = APIRouter()

FORMATS = ("json", "html", "markdown")
_MEDIA = {"application/json": "json", "text/html": "html", "text/markdown": "markdown"}


@router.get("/v1/models/{model:path}/card")
async def get_card(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    model: str = request.path_params["model"]
    target = gateway.names.target(model)
    if target is None:
        if gateway.names.target(f"{model}/card") is not None:
            # an alias may be called so
            request.path_params["model"] = f"{model}/card"
            return await get_model(request)
        raise ModelNotFound(f"The model '{model}' does not exist", param="model")
    form = _form(request)
    shelf: Shelf = request.app.state.cards
    try:
        held = await asyncio.to_thread(shelf.card_of, gateway.fleet, target)
    except CardError:
        raise NotFound(f"the card of '{model}' is too large", code="card_not_found") from None
    if held is None:
        raise NotFound(
            f"'{model}' has no card; put a README.md beside its weights", code="card_not_found"
        )
    return _shown(model, held, form)


def _form(request: Request) -> str:
    """The query's format, else the first of the accepted media types that there is."""
    asked = request.query_params.get("format")
    if asked is not None:
        if asked not in FORMATS:
            raise InvalidRequest(f"format must be one of {', '.join(FORMATS)}", param="format")
        return asked
    accepted = request.headers.get("accept", "").split(",")
    types = (each.partition(";")[0].strip().lower() for each in accepted)
    return next((_MEDIA[media] for media in types if media in _MEDIA), "json")


def _shown(model: str, held: Held, form: str) -> Response:
    vary = {"vary": "accept"}
    if form == "markdown":
        sniffed = {"x-content-type-options": "nosniff"}
        return PlainTextResponse(held.text, media_type="text/markdown", headers=vary | sniffed)
    if form == "html":
        return HTMLResponse(page(model, held.card), headers=vary | PAGE_HEADERS)
    return JSONResponse({"object": "model.card", "id": model, **held.card.as_dict()}, headers=vary)
