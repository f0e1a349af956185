"""Work cut into pieces, so that rows that decode go on in between."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Pieces = Generator[None, None, T]
"""Each ``next`` does a piece, evaluated; the result is what it returns at its end."""


def whole(pieces: Pieces[T]) -> T:
    """All that is left of it at once; its result."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
