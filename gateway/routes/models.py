"""``GET /v1/models`` and ``/v1/models/{id}``: the public names and what stands behind them."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fleet.names import Auto, Target
from gateway.cards.facts import card_or_none, digest_of, facts_of
from gateway.cards.shelf import Shelf
from gateway.service import Gateway
from wire.errors import ModelNotFound
from wire.responses import model_entry, model_list

router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    lengths = await _lengths(gateway)
    entries = [_entry(gateway, name, target, lengths) for name, target in gateway.names.items()]
    return JSONResponse(model_list(entries))


@router.get("/v1/models/{model:path}")
async def get_model(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    model: str = request.path_params["model"]
    target = gateway.names.target(model)
    if target is None:
        raise ModelNotFound(f"The model '{model}' does not exist", param="model")
    shelf: Shelf = request.app.state.cards
    lengths, digest, card = await asyncio.gather(
        _lengths(gateway),
        _digest(gateway, target),
        asyncio.to_thread(card_or_none, shelf, gateway.fleet, target),
    )
    if gateway.names.target(model) != target:
        # unloaded meanwhile
        raise ModelNotFound(f"The model '{model}' does not exist", param="model")
    facts = facts_of(gateway.fleet, target, card, digest)
    return JSONResponse(_entry(gateway, model, target, lengths) | facts)


async def _digest(gateway: Gateway, target: Target) -> str | None:
    if isinstance(target, Auto):
        return None
    return await digest_of(gateway.upstreams[target.base], target)


async def _lengths(gateway: Gateway) -> dict[str, int | None]:
    """Context length of each base, as its server reports it; None where it is silent."""
    found = await asyncio.gather(*(u.max_model_len() for u in gateway.upstreams.values()))
    return dict(zip(gateway.upstreams, found, strict=True))


def _entry(
    gateway: Gateway, name: str, target: Target, lengths: dict[str, int | None]
) -> dict[str, Any]:
    fleet, names = gateway.fleet, gateway.names
    if isinstance(target, Auto):
        # no file stands behind a choice: it is its own root
        known = [n for n in lengths.values() if n is not None]
        length = lengths[target.base] if target.base else min(known, default=None)
        root = fleet.prefix if target.base is None else f"{names.public(target.base, None)}-auto"
        parent = names.public(target.base, None) if target.base else None
    else:
        length = lengths[target.base]
        adapter = fleet.adapters[target.adapter] if target.adapter else None
        root = adapter.source if adapter else fleet.bases[target.base].model
        parent = names.public(target.base, None) if adapter else None
    return model_entry(
        name,
        created=gateway.started_at,
        owned_by=fleet.prefix,
        root=root,
        parent=parent,
        max_model_len=length,
    )
