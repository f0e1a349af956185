"""Which token's report goes out with which part of the answer's text. Pure.

A token begins at the first character that it makes, be it with later tokens. So the parts of
one character go out together, with it. Refuses to report a token whose text is never sent:
a stop string may cut it off.
"""

from collections import deque

from worker.engine.request import Text, TokenLogprob


class Alignment:
    """The reports that wait for their text, with the character at which each token begins."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        self._sent_chars = 0

    def add(self, begins_at: int, report: TokenLogprob) -> None:
        """A token whose text begins at this character of the whole text; in their order."""
        self._waiting.append((begins_at, report))

    def take(self, text: str) -> Text | None:
        """The event for more of the text; None for none."""
        if not text:
            return None
        self._sent_chars += len(text)
        due: list[TokenLogprob] = []
        while self._waiting and self._waiting[0][0] < self._sent_chars:
            due.append(self._waiting.popleft()[1])
        return Text(text, tuple(due))

    def take_last(self, text: str, *, cut: bool) -> Text | None:
        """The event for the end of the text; with it go tokens without any, unless it was cut."""
        last = self.take(text)
        if last is None or cut:
            return last
        return Text(text, (*last.tokens, *(report for _, report in self._waiting)))
