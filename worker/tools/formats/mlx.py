"""All other formats that mlx-lm can parse: read whole by its parsers, forced in the plain format.

Their calls are not streamed and their grammars not written here: a forced call is JSON between
plain tags, which such models also understand. mlx-lm's parsers raise whatever comes up, and some
make a call of any text; both are mapped to ValueError here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from wire.tools import FunctionSpec, ToolCall
from worker.tools.formats.base import ToolFormat
from worker.tools.formats.json_tags import JsonTags
from worker.tools.json_text import dumped, object_text
from worker.tools.pieces import Call

# marks inside calls that tokenizers may have as special tokens, by mlx-lm's module
INNER: dict[str, tuple[str, ...]] = {
    "function_gemma": ("<escape>",),
    "gemma4": ('<|"|>',),
    "glm47": ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    "kimi_k2": ("<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"),
    "longcat": (
        "<longcat_arg_key>",
        "</longcat_arg_key>",
        "<longcat_arg_value>",
        "</longcat_arg_value>",
    ),
}
# what glm47 names a call that it could not read
_UNREAD = "unknown"

Parser = Callable[[str, list[dict[str, Any]]], Any]


@dataclass(frozen=True)
class MlxFormat(ToolFormat):
    parser: Parser
    forced: JsonTags

    @property
    def inner(self) -> tuple[str, ...]:
        return INNER.get(self.name, ())

    def parse(self, text: str, tools: Sequence[FunctionSpec]) -> list[Call]:
        try:
            found = self.parser(text, [_as_dict(tool) for tool in tools])
        except Exception as error:  # whatever a parser stumbles over is no call
            raise ValueError(f"{self.name}: {type(error).__name__}") from None
        known = {tool.name for tool in tools}
        return [_call(one, known) for one in _listed(found)]

    def render(self, calls: Sequence[ToolCall]) -> str:
        return self.forced.render(calls)

    def instructions(self, tools: Sequence[FunctionSpec]) -> str:
        return self.forced.instructions(tools)

    def calls_rules(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        return self.forced.calls_rules(tools, at_most_one=at_most_one)

    def auto_rules(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        return self.forced.auto_rules(tools, at_most_one=at_most_one)


def _as_dict(tool: FunctionSpec) -> dict[str, Any]:
    parameters = tool.schema_of_arguments
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _listed(found: Any) -> list[dict[str, Any]]:
    listed = cast(list[Any], found if isinstance(found, list) else [found])
    if not listed or not all(isinstance(one, dict) for one in listed):
        raise ValueError("no calls")
    return cast(list[dict[str, Any]], listed)


def _call(one: dict[str, Any], known: set[str]) -> Call:
    name, arguments, own = one.get("name"), one.get("arguments"), one.get("id")
    if not isinstance(name, str) or not name or (name == _UNREAD and name not in known):
        raise ValueError("a call has a name")
    if not isinstance(arguments, str):
        arguments = dumped(arguments)
    text = object_text(arguments if arguments != "null" else None, arguments)
    return Call(name, text, own if isinstance(own, str) and own else None)
