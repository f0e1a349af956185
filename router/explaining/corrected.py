"""A text as typed beside the same text as it is read: which words differ, and where they stand.

Reading replaces runs of letters and nothing else, so that both texts have as many runs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from router.explaining.shown import shown

WORD_CHARS = 48
_RUNS = re.compile(r"[^\W\d_]+|[\W\d_]+")

Span = tuple[int, int]


@dataclass(frozen=True)
class Corrected:
    """Runs of letters, and of all else: as typed and as read."""

    typed: tuple[str, ...]
    read: tuple[str, ...]

    @classmethod
    def of(cls, typed: str, read: str) -> "Corrected":
        """Where runs don't pair (a known word isn't all letters) ``read`` passes for typed."""
        typed_runs, runs = tuple(_RUNS.findall(typed)), tuple(_RUNS.findall(read))
        return cls(typed_runs if _is_paired(typed_runs, runs) else runs, runs)

    @property
    def text(self) -> str:
        """What ``typed_spans`` are characters of."""
        return "".join(self.typed)

    def words(self) -> dict[str, str]:
        """Each run that is read otherwise, lower case, with what it is read as."""
        return {
            shown(typed.lower(), WORD_CHARS): shown(read.lower(), WORD_CHARS)
            for typed, read in zip(self.typed, self.read, strict=True)
            if typed != read
        }

    def typed_spans(self, spans: Sequence[Span]) -> tuple[Span, ...]:
        """Where characters [start, end) of the text as read stand in that typed.

        Part of a corrected run is the whole run.
        """
        firsts, lasts, at = list[int](), [0], 0
        for typed, read in zip(self.typed, self.read, strict=True):
            end, same = at + len(typed), typed == read
            firsts += range(at, end) if same else [at] * len(read)
            lasts += range(at + 1, end + 1) if same else [end] * len(read)
            at = end
        return tuple((firsts[start], lasts[end]) for start, end in spans)


def _is_paired(typed: Sequence[str], read: Sequence[str]) -> bool:
    return len(typed) == len(read) and all(
        one == other or (_is_letters(one) and _is_letters(other))
        for one, other in zip(typed, read, strict=True)
    )


def _is_letters(run: str) -> bool:
    return run[0].isalnum() and not run[0].isdecimal()
