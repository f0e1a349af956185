"""Tokens to text that may be sent: whole characters, and nothing of a stop string.

Pure but for the detokeniser it is given.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Protocol

from worker.engine.alignment import Alignment
from worker.engine.request import GenerationRequest, Text, TokenLogprob
from worker.undecided import undecided

# more than any character has bytes
BEFORE_TOKENS = 8


class Detokenizer(Protocol):
    """mlx-lm's streaming detokeniser, as far as it is used. It shows special tokens too.

    A shallow copy goes its own way, as where mlx-lm hands out its detokenisers (0.32).
    """

    @property
    def last_segment(self) -> str: ...

    def add_token(self, token: int) -> None: ...

    def finalize(self) -> None: ...


class StopFilter:
    """Cuts a text at its earliest stop string, holding back what might become one.

    However the text comes in pieces, it is cut at the same place: a stop string waits where an
    earlier one may still come up around it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.matched: str | None = None

    @property
    def stopped(self) -> bool:
        return self.matched is not None

    def feed(self, text: str) -> str:
        """The part that can be sent now; sets ``matched`` when a stop string came up."""
        if self.stopped:
            return ""
        text = self._held + text
        open_at = len(text) - undecided(text, self._stops)
        at = self._find(text)
        if at is not None and at <= open_at:
            return self._cut(text, at)
        self._held = text[open_at:]
        return text[:open_at]

    def flush(self) -> str:
        """What was held back, at the end of the text; up to a stop string that waited in it."""
        held, self._held = self._held, ""
        at = self._find(held)
        return held if at is None else self._cut(held, at)

    def _find(self, text: str) -> int | None:
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        return min(found, default=None)

    def _cut(self, text: str, at: int) -> str:
        self._held = ""
        self.matched = next(stop for stop in self._stops if text.startswith(stop, at))
        return text[:at]


class TextStream:
    """One answer's tokens on their way to text, and their reports with it.

    Tokens in ``special`` make no text, but for those in ``visible``. ``before``: the end of a text
    that the answer goes on with; mlx-lm's detokenisers drop a space at the very beginning, and
    a character may have begun there.
    """

    def __init__(
        self,
        detokenizer: Detokenizer,
        special: Iterable[int],
        stops: Sequence[str],
        visible: frozenset[int] = frozenset(),
        before: Sequence[int] = (),
    ) -> None:
        self._detokenizer = detokenizer
        self._special = special if isinstance(special, frozenset) else frozenset(special)
        self._visible = visible
        self._filter = StopFilter(stops)
        self._alignment = Alignment()
        for token in before:
            detokenizer.add_token(token)
        # read, and so not shown again
        _ = detokenizer.last_segment
        # what it has of that text and did not show yet, such as a space at its end
        self._given = self._held() if before else ""
        self._made_chars = 0

    @property
    def matched(self) -> str | None:
        """The stop string that came up; the text ends before it."""
        return self._filter.matched

    def add(self, token: int, report: TokenLogprob | None = None) -> Text | None:
        """What this token makes sendable, if anything; ``report`` goes out with its text."""
        return self._alignment.take(self._feed(token, report))

    def end(self, token: int | None = None, report: TokenLogprob | None = None) -> Text | None:
        """The rest of the text, ``token`` being the last that makes any."""
        text = "" if token is None else self._feed(token, report)
        self._detokenizer.finalize()
        text += self._filter.feed(self._segment()) + self._filter.flush()
        return self._alignment.take_last(text, cut=self._filter.stopped)

    def _feed(self, token: int, report: TokenLogprob | None) -> str:
        if token in self._special and token not in self._visible:
            return ""
        if report is not None:
            held = self._held().removeprefix(self._given)
            self._alignment.add(self._made_chars + len(held), report)
        self._detokenizer.add_token(token)
        return self._filter.feed(self._segment())

    def _held(self) -> str:
        """Whole characters that the detokeniser has and does not show yet, such as a space."""
        ahead = copy.copy(self._detokenizer)
        ahead.finalize()
        return ahead.last_segment.rstrip("\ufffd")

    def _segment(self) -> str:
        segment = self._detokenizer.last_segment
        if segment:
            segment, self._given = segment.removeprefix(self._given), ""
        self._made_chars += len(segment)
        return segment


def new_text_stream(
    detokenizer: Detokenizer, special: frozenset[int], request: GenerationRequest
) -> TextStream:
    """The stream of one request's answer; ``special``: tokens that make no text."""
    before = request.prompt[-BEFORE_TOKENS:] if request.continues else ()
    return TextStream(detokenizer, special, request.stop, request.visible, before)
