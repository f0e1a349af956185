"""The whole conversation of a request: what is stored before it, and its own items.

``instructions`` are a request's own and are not carried on. A call that was cut off at its limit
is left out: nobody can answer it.
"""

import asyncio
from typing import Any

from gateway.responses.store import Store, Stored
from wire.errors import InvalidRequest, NotFound
from wire.responses_api import ResponsesRequest
from wire.responses_items import Item, ItemReference, MessageItem, items_of

Body = dict[str, Any]

INLINE_ITEMS = 200  # more are read and translated in a thread, not on the event loop


async def earlier_items(store: Store | None, owner: str, response_id: str) -> list[Item]:
    """The items up to and with a stored response; raises InvalidRequest where it is unknown."""
    chain = [] if store is None else await store.chain(owner, response_id)
    if not chain:
        raise _not_found(response_id, store)
    if chain[0].previous_id is not None:
        raise InvalidRequest(
            f"response '{chain[0].previous_id}', which this conversation goes on from, is not "
            "stored any more, or the conversation is too long; send the whole input",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if chain[-1].response["status"] == "failed":
        raise InvalidRequest(
            f"response '{response_id}' failed; go on from the one before it",
            param="previous_response_id",
        )
    found: list[Body] = []
    for stored in chain:
        found += stored.items
        found += [item for item in stored.response["output"] if _is_whole(item)]
    if len(found) <= INLINE_ITEMS:
        return items_of(found)
    return await asyncio.to_thread(items_of, found)


async def own_items(store: Store | None, owner: str, request: ResponsesRequest) -> list[Item]:
    """The items of the request itself; references become what they refer to."""
    if isinstance(request.input, str):
        return [MessageItem(role="user", content=request.input)]
    held: dict[str, Stored | None] = {}  # each response is read once
    return [
        await _referred(store, owner, item, held) if isinstance(item, ItemReference) else item
        for item in request.input
    ]


def bodies_of(items: list[Item], response_id: str) -> list[Body]:
    """As they are stored and listed: with ids and status, text in parts."""
    return [
        _body(item, f"{response_id.removeprefix('resp_')}i{n:04x}") for n, item in enumerate(items)
    ]


def _body(item: Item, suffix: str) -> Body:
    body = item.model_dump(exclude_none=True)
    if isinstance(item, MessageItem):
        body["content"] = [part.model_dump(exclude_none=True) for part in item.parts]
        for part in body["content"]:
            if part["type"] == "output_text":
                part.setdefault("annotations", [])
    prefix = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}
    body.setdefault("id", f"{prefix.get(item.type, 'rs')}_{suffix}")
    body.setdefault("status", "completed")
    return body


async def _referred(
    store: Store | None, owner: str, item: ItemReference, held: dict[str, Stored | None]
) -> Item:
    """Ids of items hold the id of their response."""
    response_id = f"resp_{item.id.partition('_')[2][:48]}"
    if store is not None and response_id not in held:
        held[response_id] = await store.find(owner, response_id)
    found = held.get(response_id)
    for body in [*found.items, *found.response["output"]] if found else []:
        if body["id"] == item.id:
            return items_of([body])[0]
    raise NotFound(f"Item with id '{item.id}' not found; send the item itself", param="input")


def _is_whole(item: Body) -> bool:
    return item["type"] != "function_call" or item["status"] == "completed"


def _not_found(response_id: str, store: Store | None) -> InvalidRequest:
    why = "; this gateway stores no responses, send the whole input" if store is None else ""
    return InvalidRequest(
        f"Previous response with id '{response_id}' not found{why}",
        param="previous_response_id",
        code="previous_response_not_found",
    )
