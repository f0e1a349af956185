"""Special tokens that a client typed, as the text they are.

A tokenizer turns ``<|assistant_end|>`` into the special token wherever it stands. So each such
string in a client's text is broken by a separator, a character that the request has nowhere;
the template renders that; and the text is tokenised in the pieces between separators, none of
which holds the special string. Texts without one are not touched: their tokens are the
template's. What a call's arguments say as JSON is looked at too, since escapes hide a string
until a template gets the object. Marks of thoughts and calls in an assistant's content stay: the
model wrote them.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from wire.messages import Message
from wire.tools import Tool, ToolCall
from worker.prompt.arguments import object_of

_PRIVATE_USE = range(0xE000, 0xF8FF)


@dataclass(frozen=True)
class Broken:
    """What a client sent, with special strings broken; ``separator`` is "" if there were none."""

    messages: Sequence[Message]
    tools: Sequence[Tool]
    kwargs: dict[str, Any]
    separator: str


class PlainText:
    """Breaks the special strings of one tokenizer and tokenises what was rendered of them."""

    def __init__(self, tokenizer: Any, marks: Sequence[str]) -> None:
        """``marks``: those of thoughts and calls."""
        self._tokenizer = tokenizer
        special = _special_strings(tokenizer, marks)
        self._special = _starts_of(special)
        self._unmarked = _starts_of(s for s in special if not _within(s, marks))
        self._newline = self._encode("\n") if special else []

    def broken(
        self, messages: Sequence[Message], tools: Sequence[Tool], kwargs: dict[str, Any]
    ) -> Broken:
        """The parts of a request with no special string in them."""
        data = [[message.model_dump(), *_arguments(message)] for message in messages]
        rest = [[tool.model_dump() for tool in tools], kwargs]
        if not any(self._special.search(text) for text in _strings([data, rest])):
            return Broken(messages, tools, kwargs, "")
        separator = _separator([data, rest, _template(self._tokenizer)])
        everywhere = self._breaker(self._special, separator)
        unmarked = self._breaker(self._unmarked, separator)
        return Broken(
            [_with_texts(message, everywhere, unmarked) for message in messages],
            [_mapped_tool(tool, everywhere) for tool in tools],
            cast(dict[str, Any], _mapped(kwargs, everywhere)),
            separator,
        )

    def tokens(self, text: str, separator: str) -> list[int]:
        """Tokens of a rendered text, with none for the separators."""
        pieces = _pieces(text, separator)
        # a text may hold the same special string a hundred thousand times
        inside = {piece: self._inside(piece) for piece in set(pieces[1:])}
        tokens = list(self._encode(pieces[0]))
        for piece in pieces[1:]:
            tokens.extend(inside[piece])
        return tokens

    def _inside(self, piece: str) -> list[int]:
        # some tokenizers put a space before the start of a text; this is not one
        tokens = self._encode("\n" + piece)
        length = len(self._newline)
        return tokens[length:] if tokens[:length] == self._newline else self._encode(piece)

    def _encode(self, text: str) -> list[int]:
        return cast(list[int], self._tokenizer.encode(text, add_special_tokens=False))

    @staticmethod
    def _breaker(starts: re.Pattern[str], separator: str) -> Callable[[str], str]:
        return lambda text: starts.sub(rf"\g<0>{separator}", text)


def without(text: str, separator: str) -> str:
    """A rendered text as the model reads it."""
    return "".join(_pieces(text, separator))


def _pieces(text: str, separator: str) -> list[str]:
    if not separator:
        return [text]
    # a template may write JSON in ASCII
    return re.split(rf"{separator}|\\u{ord(separator):04x}", text)


def _special_strings(tokenizer: Any, marks: Sequence[str]) -> set[str]:
    """Special tokens; of other added ones those that the template or a mark uses.

    The rest (Gemma's ``<table>``, runs of spaces) are ordinary text to the model.
    """
    added: dict[int, Any] = getattr(tokenizer, "added_tokens_decoder", None) or {}
    template = _template(tokenizer)
    return {
        token.content
        for token in added.values()
        if len(token.content) > 1
        and not token.content.isspace()
        and (token.special or token.content in template or _within(token.content, marks))
    }


def _template(tokenizer: Any) -> str:
    return str(getattr(tokenizer, "chat_template", None) or "")


def _within(string: str, marks: Sequence[str]) -> bool:
    """A mark may hold a special token and more."""
    return any(string in mark for mark in marks)


def _starts_of(strings: Iterable[str]) -> re.Pattern[str]:
    """The first character of each occurrence, overlapping ones included.

    As a tree of common beginnings: some tokenizers have thousands, and texts a megabyte.
    """
    tree: dict[str, Any] = {}
    for string in strings:
        node = tree
        for character in string:
            node = node.setdefault(character, {})
        node[""] = {}
    return re.compile(rf"(?={_branches(tree)})(?s:.)" if tree else r"(?!)")


def _branches(node: dict[str, Any]) -> str:
    # a shorter string is enough: what starts there is broken after its first character
    if "" in node:
        return ""
    branches = [re.escape(c) + _branches(child) for c, child in sorted(node.items())]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _separator(data: Any) -> str:
    """A private character that stands nowhere in the data, not even written as an escape."""
    text = "\n".join(_strings(data))
    lower = text.lower()
    return next(
        chr(code)
        for code in _PRIVATE_USE
        if chr(code) not in text and f"\\u{code:04x}" not in lower
    )


def _strings(data: Any) -> Iterable[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in cast(dict[str, Any], data).items():
            yield key
            yield from _strings(value)
    elif isinstance(data, list):
        for value in cast(list[Any], data):
            yield from _strings(value)


def _mapped(data: Any, change: Callable[[str], str]) -> Any:
    if isinstance(data, str):
        return change(data)
    if isinstance(data, dict):
        entries = cast(dict[str, Any], data).items()
        return {change(key): _mapped(value, change) for key, value in entries}
    if isinstance(data, list):
        return [_mapped(value, change) for value in cast(list[Any], data)]
    return data


def _with_texts(
    message: Message, change: Callable[[str], str], change_answer: Callable[[str], str]
) -> Message:
    in_content = change_answer if message.role == "assistant" else change
    changed: dict[str, Any] = {"content": in_content(message.text())}
    for name in ("name", "tool_call_id", "reasoning_content"):
        if getattr(message, name):
            changed[name] = change(getattr(message, name))
    if message.tool_calls:
        changed["tool_calls"] = [_with_call_texts(call, change) for call in message.tool_calls]
    return message.model_copy(update=changed)


def _with_call_texts(call: ToolCall, change: Callable[[str], str]) -> ToolCall:
    called = {
        "name": change(call.function.name),
        "arguments": _in_arguments(call.function.arguments, change),
    }
    function = call.function.model_copy(update=called)
    return call.model_copy(update={"id": change(call.id), "function": function})


def _arguments(message: Message) -> list[Any]:
    return [object_of(call.function.arguments) for call in message.tool_calls or []]


def _in_arguments(text: str, change: Callable[[str], str]) -> str:
    value = object_of(text)
    changed = _mapped(value, change)
    # as it was written, if nothing in it is special
    return change(text) if changed == value else json.dumps(changed, ensure_ascii=False)


def _mapped_tool(tool: Tool, change: Callable[[str], str]) -> Tool:
    # the name can't hold a special string and is one of the API
    function = tool.function
    changed = {
        "description": None if function.description is None else change(function.description),
        "parameters": _mapped(function.parameters, change),
    }
    return tool.model_copy(update={"function": function.model_copy(update=changed)})
