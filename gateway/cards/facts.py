"""What ``GET /v1/models/{id}`` says beyond the name: licence, revision, digest, evaluation.

The digest is what the worker reports. Everything else is as the fleet file and the card state it.
"""

from typing import Any, cast

import httpx

from fleet.cards import Card, CardError
from fleet.names import Explicit, Target
from fleet.schema import Adapter, Fleet, is_hub_id
from gateway.cards.shelf import Shelf, source_of
from gateway.upstream import Upstream


def facts_of(
    fleet: Fleet, target: Target, card: Card | None, digest: str | None = None
) -> dict[str, Any]:
    """All of it; null where nothing states it. ``digest``: what the worker reports."""
    source = source_of(fleet, target)
    is_one = isinstance(target, Explicit)
    adapter = fleet.adapters[target.adapter] if is_one and target.adapter else None
    return {
        "license": card.license if card else None,
        "base_model": fleet.bases[target.base].model.partition("@")[0] if is_one else None,
        "revision": source.partition("@")[2] if source and is_hub_id(source) else None,
        "digest": digest,
        "evaluation": _evaluation(adapter, card, digest),
        "risk_class": card.risk_class if card else None,
    }


def results_of(adapter: Adapter, digest: str | None) -> list[dict[str, Any]]:
    """The results in the fleet file; ``of_this_version``: null where that is not known."""
    return [
        each.model_dump(mode="json") | {"of_this_version": each.is_of(digest)}
        for each in adapter.evaluation
    ]


def _evaluation(
    adapter: Adapter | None, card: Card | None, digest: str | None
) -> dict[str, Any] | None:
    """``card``: what the card states. ``fleet``: the results in the fleet file."""
    stated = card.evaluation.model_dump(mode="json") if card and card.evaluation else None
    results = results_of(adapter, digest) if adapter else []
    return {"card": stated, "fleet": results} if stated or results else None


def card_or_none(shelf: Shelf, fleet: Fleet, target: Target) -> Card | None:
    """A card that can't be read is none here; the card's own path says why."""
    try:
        held = shelf.card_of(fleet, target)
    except CardError:
        return None
    return held.card if held is not None else None


async def digest_of(upstream: Upstream, target: Target) -> str | None:
    """As the worker reports it; None where it is silent, or has not loaded the adapter."""
    if not isinstance(target, Explicit):
        return None
    if target.adapter is None:
        told = _object(await upstream.probe("/health"))
        return _text(told.get("base_digest"))
    listed = _object(await upstream.probe("/v1/adapters")).get("data")
    entries = cast(list[Any], listed) if isinstance(listed, list) else []
    for entry in entries:
        if isinstance(entry, dict) and cast(dict[str, Any], entry).get("name") == target.adapter:
            return _text(cast(dict[str, Any], entry).get("digest"))
    return None


def _object(response: httpx.Response | None) -> dict[str, Any]:
    """The JSON object of an answer; empty for anything else."""
    if response is None or response.status_code != 200:
        return {}
    try:
        body: Any = response.json()
    except ValueError:
        return {}
    return cast(dict[str, Any], body) if isinstance(body, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
