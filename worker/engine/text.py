"""Tokens to text that may be sent: whole characters, and nothing of a stop string.

Pure but for the detokeniser it is given.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol


class Detokenizer(Protocol):
    """mlx-lm's streaming detokeniser, as far as it is used."""

    @property
    def last_segment(self) -> str: ...

    def add_token(self, token: int) -> None: ...

    def finalize(self) -> None: ...


class StopFilter:
    """Cuts a text at the first stop string, holding back what might become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """The part that can be sent now; sets ``stopped`` when a stop string came up."""
        if self.stopped:
            return ""
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        keep = self._undecided(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        held, self._held = self._held, ""
        return "" if self.stopped else held

    def _undecided(self, text: str) -> int:
        """Length of the longest end of ``text`` that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0


class TextStream:
    """One answer's tokens on their way to text."""

    def __init__(
        self, detokenizer: Detokenizer, special: Iterable[int], stops: Sequence[str]
    ) -> None:
        self._detokenizer = detokenizer
        self._special = special if isinstance(special, frozenset) else frozenset(special)
        self._filter = StopFilter(stops)

    @property
    def stopped(self) -> bool:
        """A stop string came up; the text ends before it."""
        return self._filter.stopped

    def add(self, token: int) -> str:
        """Text that this token makes sendable; special tokens make none."""
        if token in self._special:
            return ""
        self._detokenizer.add_token(token)
        return self._filter.feed(self._detokenizer.last_segment)

    def end(self) -> str:
        """The rest, when no token follows."""
        self._detokenizer.finalize()
        return self._filter.feed(self._detokenizer.last_segment) + self._filter.flush()
