"""Messages to the turns that a template accepts, and what had to be changed for that. Pure.

Nothing is left out, and texts keep their order. What can be said in the template's own way
is left as it is.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wire.errors import InvalidRequest
from wire.messages import Message
from wire.tools import FunctionSpec, Tool, ToolCall
from worker.prompt.arguments import object_of
from worker.prompt.render import Turn
from worker.prompt.template import Capabilities

FOLDS = ("developer", "system", "turns", "tools", "tool_calls", "tool_turns", "tool_ids")
_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}", re.ASCII)
_SYSTEM = ("system", "developer")


class CallText(Protocol):
    """How calls and functions are written as text: the part of a ToolFormat used here."""

    def render(self, calls: Sequence[ToolCall]) -> str: ...
    def instructions(self, tools: Sequence[FunctionSpec]) -> str: ...


@dataclass(frozen=True)
class Folded:
    """What the template gets. ``changes``: some of FOLDS, in that order."""

    turns: list[Turn]
    tools: list[dict[str, Any]]
    changes: tuple[str, ...]


def fold(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    known: Capabilities,
    written: CallText | None,
) -> Folded:
    """Turns for a template that accepts what ``known`` says.

    Raises InvalidRequest where calls or tools are to be text and ``written`` is None.
    """
    folding = _Folding(known, written)
    turns = [folding.turn(message) for message in messages]
    if tools and not known.tools:
        folding.changes.add("tools")
        turns = _with_instructions(turns, _text_of(written, "tools").instructions(_specs(tools)))
    turns = folding.place_system(turns)
    if not known.assistant_first and _opens(turns) == "assistant":
        folding.changes.add("turns")
        turns = _before_first(turns, {"role": "user", "content": ""})
    turns = folding.joined(turns)
    given = [_tool_dict(tool) for tool in tools] if known.tools else []
    return Folded(turns, given, tuple(name for name in FOLDS if name in folding.changes))


class _Folding:
    """One conversation's folding; ``changes`` grows."""

    def __init__(self, known: Capabilities, written: CallText | None) -> None:
        self._known = known
        self._written = written
        self._names: dict[str, str] = {}
        self.changes: set[str] = set()

    def turn(self, message: Message) -> Turn:
        turn: Turn = {"role": message.role, "content": message.text()}
        for name in ("name", "reasoning_content"):
            if getattr(message, name):
                turn[name] = getattr(message, name)
        if message.role == "developer" and not self._known.developer:
            self.changes.add("developer")
            turn["role"] = "system"
        if message.tool_calls:
            self._call(turn, message.tool_calls)
        if message.role == "tool":
            self._result(turn, message.tool_call_id or "")
        return turn

    def _call(self, turn: Turn, calls: Sequence[ToolCall]) -> None:
        self._names |= {call.id: call.function.name for call in calls}
        if self._known.tool_calls is None:
            self.changes.add("tool_calls")
            text = _text_of(self._written, "messages").render(calls)
            turn["content"] = _paragraphs(turn["content"], text)
            return
        as_dict = self._known.tool_calls == "dict"
        turn["tool_calls"] = [
            {
                "id": self._id(call.id),
                "type": "function",
                "function": {
                    "name": call.function.name,
                    "arguments": _arguments(call.function.arguments, as_dict=as_dict),
                },
            }
            for call in calls
        ]

    def _result(self, turn: Turn, call_id: str) -> None:
        if self._known.tool_turns:
            turn["tool_call_id"] = self._id(call_id)
            return
        self.changes.add("tool_turns")
        name = self._names.get(call_id)
        answered = f"{call_id} to {name}" if name else call_id
        turn["role"] = "user"
        turn["content"] = f"Result of the call {answered}:\n{turn['content']}"

    def _id(self, call_id: str) -> str:
        if self._known.any_call_id or _MISTRAL_ID.fullmatch(call_id):
            return call_id
        self.changes.add("tool_ids")
        return hashlib.sha256(call_id.encode()).hexdigest()[:9]

    def place_system(self, turns: Sequence[Turn]) -> list[Turn]:
        """System turns where the template takes none, or none there, become user turns."""
        placed: list[Turn] = []
        opening = True
        for turn in turns:
            opening = opening and turn["role"] in _SYSTEM
            fits = self._known.system and (opening or self._known.system_later)
            if turn["role"] in _SYSTEM and not fits:
                if not turn.get("ours"):
                    self.changes.add("system")
                turn = turn | {"role": "user", "into_next": opening}
            placed.append({k: v for k, v in turn.items() if k != "ours"})
        return placed

    def joined(self, turns: Sequence[Turn]) -> list[Turn]:
        """Neighbours of one role in one turn, where the template wants that."""
        joined: list[Turn] = []
        into_next = False
        for turn in turns:
            turn = dict(turn)
            folds_on = bool(turn.pop("into_next", False))
            if joined and (into_next or self._must_join(turn)) and _can_join(joined[-1], turn):
                if not into_next:
                    self.changes.add("turns")
                joined[-1] = _join(joined[-1], turn)
            else:
                joined.append(turn)
            into_next = folds_on
        return joined

    def _must_join(self, turn: Turn) -> bool:
        if turn["role"] in _SYSTEM:
            return not self._known.system_twice
        return not self._known.repeats


def _can_join(before: Turn, turn: Turn) -> bool:
    if before["role"] != turn["role"] or turn["role"] == "tool":
        return False
    # the text of the second would come before the calls of the first
    return "tool_calls" not in before


def _join(before: Turn, turn: Turn) -> Turn:
    both = before | turn
    for name in ("content", "reasoning_content"):
        if name in both:
            both[name] = _paragraphs(before.get(name, ""), turn.get(name, ""))
    if before.get("name") != turn.get("name"):
        both.pop("name", None)
    return both


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


def _opens(turns: Sequence[Turn]) -> str:
    return next((turn["role"] for turn in turns if turn["role"] not in _SYSTEM), "")


def _before_first(turns: Sequence[Turn], turn: Turn) -> list[Turn]:
    at = next(i for i, other in enumerate(turns) if other["role"] not in _SYSTEM)
    return [*turns[:at], turn, *turns[at:]]


def _with_instructions(turns: Sequence[Turn], text: str) -> list[Turn]:
    """The text at the end of the first system turn, or as one."""
    if not turns or turns[0]["role"] not in _SYSTEM:
        return [{"role": "system", "content": text, "ours": True}, *turns]
    first = turns[0] | {"content": _paragraphs(turns[0]["content"], text)}
    return [first, *turns[1:]]


def _text_of(written: CallText | None, param: str) -> CallText:
    if written is None:
        raise InvalidRequest("this model takes no tools; leave them and calls out", param=param)
    return written


def _specs(tools: Sequence[Tool]) -> list[FunctionSpec]:
    return [tool.function for tool in tools]


def _tool_dict(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.function.name}
    if tool.function.description is not None:
        function["description"] = tool.function.description
    # strict is an order to the server, not to the model
    function["parameters"] = tool.function.schema_of_arguments
    return {"type": "function", "function": function}


def _arguments(text: str, *, as_dict: bool) -> Any:
    """Templates mostly want an object; what is none stays the text it is."""
    value = object_of(text) if as_dict else None
    return text if value is None else value
