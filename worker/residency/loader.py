"""One thread that reads adapters, so that no step of the engine waits for a disk or a hub."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Loader:
    """Runs jobs in order. ``done`` gets the result, or what was raised, on this thread."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def run(self, job: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Safe from any thread; ``done`` must not raise."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
            self._thread.start()
        self._jobs.put((job, done))

    async def ask(self, job: Callable[[], T]) -> T:
        """The result of a job; raises what it raised."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def settle(value: T | Exception) -> None:
            if result.cancelled():
                return
            if isinstance(value, Exception):
                result.set_exception(value)
            else:
                result.set_result(value)

        self.run(job, lambda value: loop.call_soon_threadsafe(settle, value) and None)
        return await result

    def close(self) -> None:
        """No more after the jobs that were given."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            job, done = given
            try:
                result = job()
            except Exception as error:
                result = error
            done(result)
            # the thread may wait long, and what it read is another's
            del given, job, done, result
