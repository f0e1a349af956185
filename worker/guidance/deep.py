"""Work on a thread with a deep stack.

llguidance 1.9 follows rules and references recursively in native code, where running out of
stack ends the process. What the limits on a grammar's text let through fits on this one.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

STACK_BYTES = 512 * 1024 * 1024
"""Address space only: pages are taken as they are touched."""

_lock = threading.Lock()


def on_deep_stack(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises; blocks."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    # the size is the process's setting for threads yet to start; others may get it meanwhile
    with _lock:
        before = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=run, name="grammar", daemon=True).start()
        finally:
            threading.stack_size(before)
    return done.result()
