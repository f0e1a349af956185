"""The text behind one start mark: calls, streamed where the format's shapes allow, else whole.

Knows nothing of content or reasoning. What was sent stays true: once a call began, whatever else
belongs to it goes out as its arguments. Pure, but for the ids of calls.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from wire.tools import FunctionSpec
from worker.tools.formats.base import ToolFormat
from worker.tools.json_text import ObjectScan, skip_space
from worker.tools.pieces import Call, CallArguments, CallBegin, Piece
from worker.tools.shapes import Found, Shape, match

State = Literal["reading", "done", "malformed"]


class Block:
    """Calls between two marks. ``state`` malformed: no call began, the text is content."""

    def __init__(
        self,
        format: ToolFormat,
        tools: Sequence[FunctionSpec],
        first_index: int,
        new_id: Callable[[], str],
    ) -> None:
        self._format = format
        self._tools = tools
        self._new_id = new_id
        self._first = first_index
        self._marks = tuple(mark for mark in (format.end, format.start) if mark)
        self._body = ""
        self._at = 0
        self._pieces: list[Piece] = []
        self._shape: Shape | None = None
        self._scan = ObjectScan(self._marks)
        self._tail = 0
        self._step = self._head if format.shapes else self._closing_mark
        self.begun = 0
        self.state: State = "reading"

    def feed(self, text: str, *, last: bool) -> list[Piece]:
        """Pieces that the text decides; ``last``: no more comes."""
        self._body += text
        while self.state == "reading" and self._step(last):
            pass
        if last and self.state == "reading":
            self.state = "done" if self.begun else "malformed"
        sent, self._pieces = self._pieces, []
        return sent

    @property
    def rest(self) -> str:
        """The text behind the block; all of its text if it is malformed."""
        return self._body if self.state == "malformed" else self._body[self._at :]

    # steps: each returns whether there may be another

    def _head(self, last: bool) -> bool:
        outcomes = [match(shape.first, self._body, 0) for shape in self._format.shapes]
        for shape, outcome in zip(self._format.shapes, outcomes, strict=True):
            if isinstance(outcome, Found):
                self._shape = shape
                return self._begin_arguments(outcome)
        if "more" in outcomes and not last:
            return False
        return self._odd_head()

    def _odd_head(self) -> bool:
        """Written otherwise than the shapes say; still a call if it is JSON that parses."""
        self._at = skip_space(self._body, 0)
        if self._body[self._at : self._at + 1] not in ("{", "["):
            self.state = "malformed"
            return False
        return self._begin_whole(0)

    def _begin_arguments(self, found: Found) -> bool:
        self._begin(Call(found.name, "", found.id))
        self._at = found.end
        self._scan = ObjectScan(self._marks)
        self._step = self._arguments
        return True

    def _arguments(self, last: bool) -> bool:
        end = self._scan.advance(self._body, self._at, last=last)
        self._send(self._body[self._at : end])
        self._at = self._tail = end
        if self._scan.broken:
            self._finish(self._behind_mark(end))
        self._step = self._after_arguments
        if not self._scan.closed:
            self._step = self._arguments
        return self._scan.closed

    def _after_arguments(self, last: bool) -> bool:
        shape = self._shape
        assert shape is not None
        end = (self._format.end,) if self._format.end else ()
        ended = match((*shape.closing, *shape.final, *end), self._body, self._at)
        if isinstance(ended, Found):
            return self._finish(ended.end)
        more = match(shape.following, self._body, self._at) if shape.following else "no"
        if isinstance(more, Found):
            return self._begin_arguments(more)
        if "more" in (ended, more) and not last:
            return False
        return self._begin_whole(shape.depth)

    def _begin_whole(self, depth: int) -> bool:
        self._scan = ObjectScan(self._marks, depth)
        self._step = self._closing_bracket
        return True

    def _closing_bracket(self, last: bool) -> bool:
        self._at = self._scan.advance(self._body, self._at, last=last)
        if self._scan.broken:
            return self._parse(self._at, self._behind_mark(self._at))
        if self._scan.closed:
            self._step = self._closing_mark if self._format.end else self._at_once
            return True
        return last and self._parse(len(self._body), len(self._body))

    def _at_once(self, last: bool) -> bool:
        return self._parse(self._at, self._at)

    def _closing_mark(self, last: bool) -> bool:
        """Looks for the end mark, which in formats without shapes may stand anywhere."""
        end = self._format.end
        found = self._body.find(end, self._at) if end else -1
        if found >= 0:
            return self._parse(found, found + len(end))
        if last:
            # a call whose end mark is missing is read only if its text is sure to be whole
            if end and not self._format.shapes:
                self.state = "malformed"
                return False
            return self._parse(len(self._body), len(self._body))
        if self._shape or not self._format.shapes:
            self._at = max(self._at, len(self._body) - len(end) + 1)
            return False
        return self._only_end_follows()

    def _only_end_follows(self) -> bool:
        """Text between a closed call that was not sent and its end mark makes it none."""
        if match((self._format.end,), self._body, self._at) == "no":
            self.state = "malformed"
        return False

    # effects

    def _parse(self, stop: int, behind: int) -> bool:
        try:
            calls = self._format.parse(self._body[:stop], self._tools)
        except ValueError:
            calls = []
        if len(calls) < max(self.begun, 1):
            if not self.begun:
                self.state = "malformed"
                return False
            self._send(self._body[self._tail : stop].strip())
            return self._finish(behind)
        for call in calls[self.begun :]:
            self._begin(call)
            self._send(call.arguments)
        return self._finish(behind)

    def _begin(self, call: Call) -> None:
        index = self._first + self.begun
        self._pieces.append(CallBegin(index, call.id or self._new_id(), call.name))
        self.begun += 1

    def _send(self, text: str) -> None:
        if text:
            self._pieces.append(CallArguments(self._first + self.begun - 1, text))

    def _behind_mark(self, at: int) -> int:
        end = self._format.end
        return at + len(end) if end and self._body.startswith(end, at) else at

    def _finish(self, behind: int) -> bool:
        self._at = behind
        self.state = "done"
        return False
