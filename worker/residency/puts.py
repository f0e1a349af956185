"""What is on its way into slots, a piece at a time; belongs to the engine thread.

Refuses to know why an adapter is put into a slot, and who waits for it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from worker.pieces import Pieces


@dataclass(frozen=True)
class Put:
    """``sources``: digests of the host copies that it reads until it has ended."""

    slot: int
    pieces: Pieces[None]
    sources: frozenset[str]


class Puts:
    """By slot; the one that was begun first is done first."""

    def __init__(self) -> None:
        self._puts: dict[int, Put] = {}

    def __contains__(self, slot: int) -> bool:
        return slot in self._puts

    def __len__(self) -> int:
        return len(self._puts)

    @property
    def sources(self) -> set[str]:
        """What has to stay in host memory, and would only seem to be freed if it were dropped."""
        return {digest for put in self._puts.values() for digest in put.sources}

    def begin(self, slot: int, pieces: Pieces[None], sources: Collection[str]) -> None:
        self._puts[slot] = Put(slot, pieces, frozenset(sources))

    def go_on(self) -> Put | None:
        """Do a piece; what it has ended."""
        put = next(iter(self._puts.values()))
        # a piece gives nothing; the default says that it was the last
        if not next(put.pieces, True):
            return None
        return self._puts.pop(put.slot)

    def stop(self, slot: int) -> None:
        """Nobody waits for it; no error if there is none."""
        if (put := self._puts.pop(slot, None)) is not None:
            put.pieces.close()
