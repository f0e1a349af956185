"""Work that runs on the engine thread in pieces, and the future that waits for its result."""

import asyncio
from typing import Any

from wire.errors import AilianceError
from worker.pieces import Pieces


class Job:
    """Made on the event loop, run or failed on the engine thread, awaited on the loop."""

    def __init__(self, pieces: Pieces[Any]) -> None:
        self._pieces = pieces
        self._begun = False
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Any] = self._loop.create_future()

    def run_piece(self) -> bool:
        """Whether that was the last. What it raises is its waiter's; if nobody waits any more
        it is not begun, but what has begun is ended."""
        if not self._begun and self.result.cancelled():
            return True
        self._begun = True
        try:
            next(self._pieces)
        except StopIteration as end:
            self._loop.call_soon_threadsafe(self._return, end.value)
        except Exception as error:
            self._loop.call_soon_threadsafe(self._raise, error)
        else:
            return False
        return True

    def fail(self, error: AilianceError) -> None:
        """It will not be run, or not to its end."""
        self._loop.call_soon_threadsafe(self._raise, error)

    def _return(self, value: Any) -> None:
        if not self.result.done():
            self.result.set_result(value)

    def _raise(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
