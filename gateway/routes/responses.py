"""``/v1/responses``: create, retrieve, delete, input items. Cancel and replay are refused."""

import asyncio
import hashlib
from time import time
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.exchange import Form
from gateway.provenance import GENERATED
from gateway.responses.chat import chat_of
from gateway.responses.conversation import INLINE_ITEMS, bodies_of, earlier_items, own_items
from gateway.responses.draft import Draft, in_our_terms
from gateway.responses.form import ResponsesForm
from gateway.responses.store import Stored
from gateway.routes.generate import answer, read_request
from gateway.service import Gateway
from wire.errors import InvalidRequest, NotFound, UpstreamError
from wire.requests import ChatRequest
from wire.responses_api import parse_responses

router = APIRouter()

PAGE, MOST_PAGE = 20, 100


@router.post("/v1/responses")
async def create(request: Request) -> Response:
    async def read() -> tuple[ChatRequest, Form]:
        return await _read(request)

    try:
        return await answer(request, "chat", read)
    except UpstreamError as error:
        raise in_our_terms(error) from None


@router.get("/v1/responses/{response_id}")
async def retrieve(request: Request) -> Response:
    _check_query(request, "include", "include_obfuscation")
    return JSONResponse((await _find(request)).response, headers=GENERATED)


@router.delete("/v1/responses/{response_id}")
async def delete(request: Request) -> Response:
    gateway, response_id = _asked(request)
    store = gateway.store
    if store is None or not await store.delete(owner_of(request), response_id):
        raise _not_found(response_id)
    return JSONResponse({"id": response_id, "object": "response", "deleted": True})


@router.post("/v1/responses/{response_id}/cancel")
async def cancel(request: Request) -> Response:
    await _find(request)
    raise InvalidRequest("only a response in the background can be cancelled; this one has ended")


@router.get("/v1/responses/{response_id}/input_items")
async def input_items(request: Request) -> Response:
    """The items of the request itself, newest first; earlier responses list their own."""
    _check_query(request, "include", "limit", "order", "after")
    limit, descending, after = _paging(request)
    items = (await _find(request)).items
    ordered = items[::-1] if descending else items
    if after is not None:
        at = [item["id"] for item in ordered]
        if after not in at:
            raise InvalidRequest(f"there is no item '{after}' here", param="after")
        ordered = ordered[at.index(after) + 1 :]
    return JSONResponse(_page(ordered[:limit], has_more=len(ordered) > limit))


def owner_of(request: Request) -> str:
    """To whom responses belong: a digest of the credential, as they must not be on disk."""
    given = request.headers.get("authorization", "")
    return hashlib.sha256(given.encode("utf-8", "surrogateescape")).hexdigest()


async def _read(request: Request) -> tuple[ChatRequest, ResponsesForm]:
    gateway: Gateway = request.app.state.gateway
    asked = await read_request(request, parse_responses)
    owner = owner_of(request)
    own = await own_items(gateway.store, owner, asked)
    earlier = []
    if asked.previous_response_id is not None:
        earlier = await earlier_items(gateway.store, owner, asked.previous_response_id)
    store = gateway.store if asked.store else None
    draft = Draft(asked, int(time()), is_stored=store is not None)

    def translate() -> tuple[ChatRequest, list[dict[str, Any]]]:
        return chat_of(asked, [*earlier, *own]), bodies_of(own, draft.id)

    many = len(earlier) + len(own) > INLINE_ITEMS
    parsed, items = await asyncio.to_thread(translate) if many else translate()
    return parsed, ResponsesForm(draft, items, store=store, owner=owner, now=time)


def _asked(request: Request) -> tuple[Gateway, str]:
    return request.app.state.gateway, request.path_params["response_id"]


async def _find(request: Request) -> Stored:
    gateway, response_id = _asked(request)
    store = gateway.store
    found = await store.find(owner_of(request), response_id) if store is not None else None
    if found is None:
        raise _not_found(response_id)
    return found


def _not_found(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id}' not found", param="response_id")


def _check_query(request: Request, *known: str) -> None:
    for name, value in request.query_params.items():
        # clients write lists as include[]=...
        if name.removesuffix("[]") in known or (name, value) == ("stream", "false"):
            continue
        raise InvalidRequest(f"'{name}' is not supported; leave it out", param=name)


def _paging(request: Request) -> tuple[int, bool, str | None]:
    given = request.query_params
    limit, order = given.get("limit", str(PAGE)), given.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST_PAGE):
        raise InvalidRequest(f"limit must be 1 to {MOST_PAGE}", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc", param="order")
    return int(limit), order == "desc", given.get("after")


def _page(items: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    ids = [item["id"] for item in items]
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    page = {"object": "list", "data": items, "has_more": has_more}
    return page | {"first_id": first, "last_id": last}
