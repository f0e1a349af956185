"""A callable that runs on the engine thread, and the future that waits for it."""

import asyncio
from collections.abc import Callable
from typing import Any

from wire.errors import AilianceError


class Job:
    """Made on the event loop, run or failed on the engine thread, awaited on the loop."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Any] = self._loop.create_future()

    def run(self) -> None:
        """Call it, unless nobody waits for it any more; what it raises is its waiter's."""
        if self.result.cancelled():
            return
        try:
            value = self._call()
        except Exception as error:
            self._loop.call_soon_threadsafe(self._raise, error)
        else:
            self._loop.call_soon_threadsafe(self._return, value)

    def fail(self, error: AilianceError) -> None:
        """It will not be run."""
        self._loop.call_soon_threadsafe(self._raise, error)

    def _return(self, value: Any) -> None:
        if not self.result.done():
            self.result.set_result(value)

    def _raise(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
