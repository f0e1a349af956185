"""One choice of an answer: engine events in, pieces of the wire's choices out.

``ChatChoice`` and ``TextChoice`` know nothing of other choices, of streams or of HTTP. Both
give chunks as they come (``on_scored``, ``on_text``, ``on_end``), and from those same events
the whole choice (``whole``).
"""

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from wire.responses import (
    Ending,
    chat_choice,
    chat_delta,
    chat_last,
    chat_message,
    reasoning_fields,
    text_choice,
)
from worker.engine.request import Finished, Scored, Text, TokenLogprob
from worker.server.logprobs import chat_logprobs, prompt_logprobs, text_logprobs
from worker.server.token_text import TokenTexts
from worker.tools.pieces import CallBegin, Content, Piece, Reasoning

Chunk = dict[str, Any]


class Choice(Protocol):
    """Fed with the events of one row, in order."""

    def first(self) -> list[Chunk]: ...
    def on_scored(self, event: Scored) -> list[Chunk]: ...
    def on_text(self, event: Text) -> list[Chunk]: ...
    def on_end(self, event: Finished) -> list[Chunk]: ...
    def whole(self) -> Chunk: ...


class Reads(Protocol):
    """worker.tools' streaming reader, as far as it is used."""

    @property
    def calls(self) -> int: ...
    def feed(self, text: str) -> list[Piece]: ...
    def end(self) -> list[Piece]: ...


class PlainReader:
    """For answers in which nothing is looked for: all is content."""

    calls = 0

    def feed(self, text: str) -> list[Piece]:
        return [Content(text)]

    def end(self) -> list[Piece]:
        return []


@dataclass
class _Said:
    """What a chat choice has said so far."""

    content: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def add(self, piece: Piece) -> Chunk:
        """The delta of a piece."""
        if isinstance(piece, Content):
            self.content.append(piece.text)
            return {"content": piece.text}
        if isinstance(piece, Reasoning):
            self.reasoning.append(piece.text)
            return reasoning_fields(piece.text)
        if isinstance(piece, CallBegin):
            function = {"name": piece.name, "arguments": ""}
            call = {"id": piece.id, "type": "function", "function": function}
            self.calls.append(call)
            return {"tool_calls": [{"index": piece.index, **call, "function": {**function}}]}
        self.calls[piece.index]["function"]["arguments"] += piece.text
        return {"tool_calls": [{"index": piece.index, "function": {"arguments": piece.text}}]}

    @property
    def broken_off(self) -> bool:
        """The last call's arguments are no JSON."""
        try:
            json.loads(self.calls[-1]["function"]["arguments"])
        except (ValueError, RecursionError):
            return True
        return False

    def message(self) -> Chunk:
        content = "".join(self.content)
        reasoning = "".join(self.reasoning) if self.reasoning else None
        # null beside calls, as OpenAI has it; an answer without a word is an empty text
        return chat_message(content if content or not self.calls else None, reasoning, self.calls)


class ChatChoice:
    """One answer of the assistant; ``texts`` None: no log-probabilities are shown.

    ``opening``: text of the client's last turn that an echo puts before the answer.
    """

    def __init__(
        self, index: int, reader: Reads, texts: TokenTexts | None, opening: str = ""
    ) -> None:
        self._index = index
        self._reader = reader
        self._texts = texts
        self._opening = opening
        self._said = _Said()
        self._shown: list[TokenLogprob] = []
        self._waiting: list[TokenLogprob] = []
        self._ending: Ending | None = None

    def first(self) -> list[Chunk]:
        """The role, before any text."""
        chunks = [chat_delta(self._index, {"role": "assistant", "content": ""})]
        return chunks + (self._pieces([Content(self._opening)]) if self._opening else [])

    def on_scored(self, event: Scored) -> list[Chunk]:
        # of the prompt, which all choices share: stands beside them, not in one
        return []

    def on_text(self, event: Text) -> list[Chunk]:
        self._waiting += event.tokens
        return self._pieces(self._reader.feed(event.text))

    def on_end(self, event: Finished) -> list[Chunk]:
        chunks = self._pieces(self._reader.end())
        called = self._reader.calls > 0 and event.reason == "stop"
        # a stop string fell into the call: nobody is to be asked to run that
        called = called and not (event.stop is not None and self._said.broken_off)
        reason = "tool_calls" if called else event.reason
        self._ending = Ending(reason, event.stop, event.closed)
        return [*chunks, chat_last(self._index, self._ending, self._logprobs())]

    def whole(self) -> Chunk:
        assert self._ending is not None
        logprobs = None if self._texts is None else chat_logprobs(self._shown, self._texts)
        return chat_choice(self._index, self._said.message(), self._ending, logprobs)

    def _pieces(self, pieces: list[Piece]) -> list[Chunk]:
        return [chat_delta(self._index, self._said.add(p), self._logprobs()) for p in pieces]

    def _logprobs(self) -> Chunk | None:
        """Of the tokens that wait; a reader may hold text back whose tokens came already."""
        if self._texts is None or not self._waiting:
            return None
        self._shown += self._waiting
        waiting, self._waiting = self._waiting, []
        return chat_logprobs(waiting, self._texts)


@dataclass(frozen=True)
class Echo:
    """The prompt as an answer may repeat it; ``lead``: characters of tokens before its text."""

    tokens: list[int]
    text: str
    lead: int = 0


class TextChoice:
    """One text completion; ``echo`` None: the answer alone is shown."""

    def __init__(
        self,
        index: int,
        texts: TokenTexts,
        *,
        echo: Echo | None,
        shows_logprobs: bool,
        shows_prompt: bool,
    ) -> None:
        self._index = index
        self._texts = texts
        self._echo = echo
        self._shows_logprobs = shows_logprobs
        self._shows_prompt = shows_prompt
        self._parts: list[str] = []
        self._scores: list[tuple[int, TokenLogprob | None]] = []
        self._offset = -echo.lead if echo else 0
        self._prompt: list[Chunk | None] | None = None
        self._ending: Ending | None = None

    def first(self) -> list[Chunk]:
        """An echoed prompt, unless its scores are to come with it."""
        if self._echo is None or self._shows_logprobs:
            return [text_choice(self._index, "", None, None)]
        return [self._add(self._echo.text, [])]

    def on_scored(self, event: Scored) -> list[Chunk]:
        if self._shows_prompt:
            self._prompt = prompt_logprobs(event.tokens, self._texts)
        if self._echo is None or not self._shows_logprobs:
            return []
        return [self._add(self._echo.text, list(zip(self._echo.tokens, event.tokens, strict=True)))]

    def on_text(self, event: Text) -> list[Chunk]:
        return [self._add(event.text, [(t.token, t) for t in event.tokens])]

    def on_end(self, event: Finished) -> list[Chunk]:
        self._ending = Ending(event.reason, event.stop, event.closed)
        # the token that ended it was drawn too: programs that score texts count on its place
        shown = self._add("", [(t.token, t) for t in event.tokens])["logprobs"]
        return [text_choice(self._index, "", self._ending, shown if event.tokens else None)]

    def whole(self) -> Chunk:
        logprobs = self._logprobs(self._scores, -self._echo.lead if self._echo else 0)
        choice = text_choice(self._index, "".join(self._parts), self._ending, logprobs)
        return choice if self._prompt is None else {**choice, "prompt_logprobs": self._prompt}

    def _add(self, text: str, scores: list[tuple[int, TokenLogprob | None]]) -> Chunk:
        logprobs = self._logprobs(scores, self._offset)
        self._parts.append(text)
        self._scores += scores
        self._offset += sum(self._texts.chars(token) for token, _ in scores)
        return text_choice(self._index, text, None, logprobs)

    def _logprobs(self, scores: list[tuple[int, TokenLogprob | None]], offset: int) -> Chunk | None:
        if not self._shows_logprobs:
            return None
        tokens = [token for token, _ in scores]
        return text_logprobs(tokens, [score for _, score in scores], self._texts, offset)
