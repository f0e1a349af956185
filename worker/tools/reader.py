"""An answer's text to reasoning, content and calls, as it comes; cut anywhere, inside marks too.

Reasoning comes first, if the prompt opened it or the answer begins with its mark; then content
and calls. Nothing is lost: what is no call comes out as content, marks included. Only a stretch
of content that is white space alone, beside a call or behind reasoning, is dropped. Tokens are
unknown here: a mark is its text. Pure, but for the ids of calls.
"""

import secrets
from collections.abc import Callable, Sequence

from wire.tools import FunctionSpec
from worker.tools.block import Block
from worker.tools.choose import Marks
from worker.tools.formats.base import ToolFormat
from worker.tools.pieces import CallBegin, Content, Piece, Reasoning, merged
from worker.undecided import undecided


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class Reader:
    """Reads one answer. Without a format, tools or a start mark no calls are looked for."""

    def __init__(
        self,
        marks: Marks,
        format: ToolFormat | None,
        tools: Sequence[FunctionSpec],
        *,
        in_reasoning: bool = False,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._format = format if tools and marks.tool_start else None
        self._marks = marks
        self._tools = tools
        self._new_id = new_id
        self._buffer = ""
        self._block: Block | None = None
        self._reasoning = in_reasoning
        self._at_start = not in_reasoning and bool(marks.think_start)
        self._silent = True  # nothing but white space in this stretch of content
        self._held = ""  # that white space
        self._beside_mark = False
        self._out: list[Piece] = []
        self.calls = 0

    def feed(self, text: str) -> list[Piece]:
        """Pieces that the text decides, neighbours of one kind joined."""
        return self._read(text, last=False)

    def end(self) -> list[Piece]:
        """What was held back, at the end of the answer; then the reader is used up."""
        self._read_all("", last=True)
        if self._held and not self._beside_mark:
            self._out.append(Content(self._held))
        self._held = ""
        return self._taken()

    def _read(self, text: str, *, last: bool) -> list[Piece]:
        self._read_all(text, last=last)
        return self._taken()

    def _taken(self) -> list[Piece]:
        taken, self._out = self._out, []
        return merged(taken)

    def _read_all(self, text: str, *, last: bool) -> None:
        self._buffer += text
        while self._step(last):
            pass

    def _step(self, last: bool) -> bool:
        if self._block is not None:
            return self._read_block(self._block, last)
        if self._at_start:
            return self._read_start(last)
        return self._read_section(last)

    def _read_start(self, last: bool) -> bool:
        mark, text = self._marks.think_start, self._buffer.lstrip()
        if text.startswith(mark):
            self._buffer = text[len(mark) :]
            self._reasoning = True
        elif mark.startswith(text) and not last:
            return False
        self._at_start = False
        return True

    def _read_section(self, last: bool) -> bool:
        marks = self._awaited()
        found = [(at, mark) for mark in marks if (at := self._buffer.find(mark)) >= 0]
        if not found:
            keep = 0 if last else undecided(self._buffer, marks)
            decided = len(self._buffer) - keep
            self._say(self._buffer[:decided])
            self._buffer = self._buffer[decided:]
            return False
        at, mark = min(found)
        self._say(self._buffer[:at])
        self._buffer = self._buffer[at + len(mark) :]
        if self._reasoning and mark == self._marks.think_end:
            self._reasoning = False
            self._new_stretch()
        else:
            self._open_block()
        return True

    def _awaited(self) -> list[str]:
        start = [self._marks.tool_start] if self._format else []
        if not self._reasoning:
            return start
        inside = start if self._format and self._format.calls_in_reasoning else []
        return [mark for mark in (self._marks.think_end, *inside) if mark]

    def _open_block(self) -> None:
        assert self._format is not None
        self._block = Block(self._format, self._tools, self.calls, self._new_id)

    def _read_block(self, block: Block, last: bool) -> bool:
        text, self._buffer = self._buffer, ""
        self._on_pieces(block.feed(text, last=last))
        if block.state == "reading":
            return False
        self._block = None
        if block.state == "done":
            self._buffer = block.rest
            self._new_stretch()
            return True
        # its text may hold another start mark, unless it ran to the end of the answer
        self._say(self._marks.tool_start + (block.rest if last else ""))
        self._buffer = "" if last else block.rest
        return True

    def _on_pieces(self, pieces: list[Piece]) -> None:
        if pieces:
            self._held = ""
        self.calls += sum(isinstance(piece, CallBegin) for piece in pieces)
        self._out += pieces

    def _new_stretch(self) -> None:
        self._silent, self._held, self._beside_mark = True, "", True

    def _say(self, text: str) -> None:
        if not text:
            return
        if self._reasoning:
            self._out.append(Reasoning(text))
            return
        text, self._held = self._held + text, ""
        self._silent = self._silent and text.isspace()
        if self._silent:
            self._held = text
        else:
            self._out.append(Content(text))
