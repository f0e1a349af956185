"""A bounded store of recent results, keyed by the hash of a text: no prompt stays in memory."""

from collections import OrderedDict
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

_Result = TypeVar("_Result")


class RecentResults(Generic[_Result]):
    """Least recently used results; safe from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._results: OrderedDict[bytes, _Result] = OrderedDict()

    def get(self, key: bytes) -> _Result | None:
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: bytes, result: _Result) -> None:
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            while len(self._results) > self._size:
                self._results.popitem(last=False)


def key_of(text: str) -> bytes:
    """16 bytes that stand for a text, lone surrogates included."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
