"""Text that comes in pieces: how much of its end must wait. Pure."""

from collections.abc import Sequence


def undecided(text: str, marks: Sequence[str]) -> int:
    """Length of the longest end of ``text`` that begins a mark, and is not all of it."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return length
    return 0
