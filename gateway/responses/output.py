"""An answer's pieces as output items and their events. Pure: chat deltas in, events out.

One item is open at a time, in the order in which the model wrote: thoughts, text, calls. Each is
added, filled, done. What a plain chat answers is one large delta, so both ways are one.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, cast

from gateway.responses.logprobs import brief, logprobs_of, objects_in
from wire.errors import UpstreamFailed
from wire.sse import dumps

Body = dict[str, Any]
Kind = Literal["reasoning", "message", "function_call"]

PREFIXES: dict[Kind, str] = {"reasoning": "rs", "message": "msg", "function_call": "fc"}


@dataclass
class _Open:
    """The item being written; ``part`` is its open content part."""

    index: int
    item: Body
    part: Body | None = None
    pieces: list[str] = field(default_factory=list[str])


class Outputs:
    """``feed`` with each delta, ``finish`` once; ``items`` is the output so far."""

    def __init__(self, response_id: str) -> None:
        self._hex = response_id.removeprefix("resp_")
        self._open: _Open | None = None
        self._calls: dict[int, int] = {}  # the chat's index of a call -> index of its item
        self._logprobs: list[Body] = []  # of tokens whose text is held back
        self.items: list[Body] = []

    def feed(self, delta: Body, logprobs: Any = None) -> list[Body]:
        """The events of one delta; raises UpstreamFailed where it makes no sense."""
        events: list[Body] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            events += self._write("reasoning", "reasoning_text", thought)
        calls: list[Any] = list(delta.get("tool_calls") or [])
        text = _text_of(delta.get("content"))
        if not (thought or calls) or text:
            self._logprobs += logprobs_of(logprobs)
        if text:
            events += self._write("message", "output_text", text)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            events += self._write("message", "refusal", refusal)
        for call in calls:
            events += self._call(call)
        return events

    def finish(self, *, complete: bool) -> list[Body]:
        """Close what is open; an answer of nothing is an empty message."""
        events: list[Body] = []
        if not self.items:
            events += self._begin("message", {"role": "assistant", "content": []})
            events += self._begin_part("output_text")
        return events + self._end("completed" if complete else "incomplete")

    def _write(self, kind: Kind, part: str, text: str) -> list[Body]:
        events: list[Body] = []
        if self._open is None or self._open.item["type"] != kind:
            start: Body = {"role": "assistant"} if kind == "message" else {"summary": []}
            events += self._end("completed") + self._begin(kind, start | {"content": []})
        assert self._open is not None
        if self._open.part is None or self._open.part["type"] != part:
            events += self._end_part() + self._begin_part(part)
        self._open.pieces.append(text)
        return [*events, self._delta(part, text)]

    def _delta(self, part: str, text: str) -> Body:
        event = self._at(f"response.{part}.delta") | {"delta": text}
        if part == "output_text":
            assert self._open is not None
            assert self._open.part is not None
            self._open.part["logprobs"] += self._logprobs
            event["logprobs"] = brief(self._logprobs)
            self._logprobs = []
        return event

    def _call(self, call: Any) -> list[Body]:
        if not isinstance(call, dict):
            raise UpstreamFailed("the answer from upstream holds a tool call that is no object")
        found = cast(Body, call)
        function = _body(found.get("function"))
        key, events = self._key(found, function), list[Body]()
        if key not in self._calls:
            events += self._end("completed") + self._begin_call(key, found.get("id"), function)
        assert self._open is not None
        if self._open.index != self._calls[key]:
            raise UpstreamFailed("the upstream went on with a tool call after the next had begun")
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # some servers send them parsed
            arguments = dumps(arguments)
        if isinstance(arguments, str) and arguments:
            events += self._argue(arguments)
        return events

    def _argue(self, text: str) -> list[Body]:
        assert self._open is not None
        self._open.pieces.append(text)
        return [self._at("response.function_call_arguments.delta") | {"delta": text}]

    def _key(self, call: Body, function: Body) -> int:
        """Some servers leave the index out; a name then begins a call."""
        index, call_id, begins = call.get("index"), call.get("id"), bool(function.get("name"))
        if not isinstance(index, int):
            return len(self._calls) - (0 if begins or not self._calls else 1)
        if index in self._calls and begins and call_id:
            # and some give every call the index 0: another name with another id is another call
            ids = {key: self.items[at]["call_id"] for key, at in self._calls.items()}
            if ids[index] != call_id:
                return next((key for key in ids if ids[key] == call_id), max(ids) + 1)
        return index

    def _begin_call(self, key: int, call_id: Any, function: Body) -> list[Body]:
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise UpstreamFailed("the answer from upstream holds a tool call without a name")
        self._calls[key] = len(self.items)
        if not isinstance(call_id, str) or not call_id:
            call_id = f"call_{self._hex[:24]}{len(self.items):04x}"
        return self._begin("function_call", {"call_id": call_id, "name": name, "arguments": ""})

    def _begin(self, kind: Kind, rest: Body) -> list[Body]:
        index = len(self.items)
        item: Body = {
            "id": f"{PREFIXES[kind]}_{self._hex}{index:04x}",
            "type": kind,
            "status": "in_progress",
        } | rest
        self.items.append(item)
        self._open = _Open(index, item)
        return [{"type": "response.output_item.added", "output_index": index, "item": _copy(item)}]

    def _begin_part(self, kind: str) -> list[Body]:
        assert self._open is not None
        part: Body = {"type": kind, "refusal" if kind == "refusal" else "text": ""}
        if kind == "output_text":
            part |= {"annotations": [], "logprobs": []}
        self._open.part, self._open.pieces = part, []
        self._open.item["content"].append(part)
        return [self._at("response.content_part.added") | {"part": _copy(part)}]

    def _end_part(self) -> list[Body]:
        opened = self._open
        if opened is None or opened.part is None:
            return []
        part, kind = opened.part, opened.part["type"]
        name = "refusal" if kind == "refusal" else "text"
        part[name] = "".join(opened.pieces)
        done = self._at(f"response.{kind}.done") | {name: part[name]}
        if kind == "output_text":
            part["logprobs"] += self._logprobs
            self._logprobs = []
            done["logprobs"] = brief(part["logprobs"])
        ended = self._at("response.content_part.done") | {"part": _copy(part)}
        opened.part = None
        return [done, ended]

    def _end(self, status: str) -> list[Body]:
        opened = self._open
        if opened is None:
            return []
        item, events = opened.item, self._end_part()
        if item["type"] == "function_call":
            if status == "completed" and not opened.pieces:
                # no arguments are an empty object; clients parse what stands here
                events += self._argue("{}")
            item["arguments"] = "".join(opened.pieces)
            done = self._at("response.function_call_arguments.done")
            events.append(done | {"arguments": item["arguments"], "name": item["name"]})
        item["status"] = status
        at: Body = {"type": "response.output_item.done", "output_index": opened.index}
        self._open = None
        return [*events, at | {"item": _copy(item)}]

    def _at(self, event: str) -> Body:
        """An event of the open item, and of its open part if it has one."""
        opened = self._open
        assert opened is not None
        at: Body = {
            "type": event,
            "item_id": opened.item["id"],
            "output_index": opened.index,
        }
        if opened.part is not None:
            at["content_index"] = len(opened.item["content"]) - 1
        return at


def _copy(item: Body) -> Body:
    """As it stands now: events are written after the item has gone on."""
    return {key: _copied(value) for key, value in item.items()}


def _copied(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [_copy(cast(Body, v)) if isinstance(v, dict) else v for v in cast(list[Any], value)]


def _text_of(content: Any) -> str:
    """Text, or the text of parts, as some servers answer."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = [part.get("text") for part in objects_in(cast(Any, content))]
    return "".join(text for text in texts if isinstance(text, str))


def _body(value: Any) -> Body:
    return cast(Body, value) if isinstance(value, dict) else {}
