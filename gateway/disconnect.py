"""Stop waiting when the client has gone away.

Works on the ASGI ``receive`` itself: nothing else reports a disconnect while a plain
request waits for its answer.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


async def unless_gone(receive: Receive, work: Awaitable[T]) -> T:
    """The result of ``work``; cancels it and raises ClientGone when the client goes first.

    The body must have been read before, for ``receive`` to yield nothing but the disconnect.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        # ours and nobody else's: a cancellation from outside must go on
        if gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()
