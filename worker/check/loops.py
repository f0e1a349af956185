"""Whether an answer ends by saying the same thing again and again. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

# a tail is a loop from this many repeats on, and this many tokens: lists and code repeat, too
MIN_REPEATS = 5
MIN_TOKENS = 24
MAX_PERIOD = 64


@dataclass(frozen=True)
class Loop:
    """The tokens that an answer repeats at its end, and how often in a row."""

    tokens: tuple[int, ...]
    repeats: int


def find_loop(tokens: Sequence[int]) -> Loop | None:
    """The shortest loop that ``tokens`` end in, or None. For answers without an end token."""
    for period in range(1, min(MAX_PERIOD, len(tokens) // MIN_REPEATS) + 1):
        # how far back each token is the one a period before it
        same = 0
        while same < len(tokens) - period and tokens[-1 - same] == tokens[-1 - same - period]:
            same += 1
        repeats = same // period + 1
        if repeats >= MIN_REPEATS and same + period >= MIN_TOKENS:
            return Loop(tuple(tokens[-period:]), repeats)
    return None
