"""Mistral: ``[TOOL_CALLS]name[ARGS]{...}`` for each call; before that, a JSON list.

There is no end mark: a call ends with its arguments. ``[CALL_ID]id`` may stand before ``[ARGS]``
(tokenizers of version 11), and is the model's own id. Tokenizers without ``[ARGS]`` (up to version
7) write ``[TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]``; both are read, and what the
tokenizer knows is written. Sources: mistral-common's instruct tokenizers; mlx-lm 0.31,
tool_parsers/mistral.py (which takes the id for the name).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wire.tools import FunctionSpec, ToolCall
from worker.tools import grammar
from worker.tools.formats.base import ToolFormat, arguments_of, explained, named_calls
from worker.tools.grammar import Mark
from worker.tools.json_text import objects
from worker.tools.pieces import Call
from worker.tools.shapes import NAMED, Shape, Slot

START, ARGS, CALL_ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"
_HEADER = re.compile(r"\s*([\w.-]+)\s*(?:\[CALL_ID\]\s*([\w.-]+)\s*)?\[ARGS\]")
_SHAPES = (
    Shape(header=(Slot.BARE_NAME, ARGS, Slot.OBJECT)),
    Shape(header=(Slot.BARE_NAME, CALL_ID, Slot.BARE_ID, ARGS, Slot.OBJECT)),
    Shape(opening=("[",), header=NAMED, closing=("}",), between=(",",), final=("]",)),
)


@dataclass(frozen=True)
class Mistral(ToolFormat):
    """``args`` None: the tokenizer has no ``[ARGS]``."""

    args: Mark | None

    @property
    def inner(self) -> tuple[str, ...]:
        return (ARGS, CALL_ID)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return _SHAPES

    def parse(self, text: str, tools: Sequence[FunctionSpec]) -> list[Call]:
        header = _HEADER.match(text)
        if header is None:
            return named_calls(text)
        arguments = text[header.end() :].strip()
        if len(objects(arguments)) != 1 or not arguments.startswith("{"):
            raise ValueError("arguments are an object")
        return [Call(header.group(1), arguments, header.group(2))]

    def render(self, calls: Sequence[ToolCall]) -> str:
        if self.args is None:
            return f"{START} [{', '.join(_listed(call) for call in calls)}]"
        return "".join(f"{START}{call.function.name}{ARGS}{arguments_of(call)}" for call in calls)

    def instructions(self, tools: Sequence[FunctionSpec]) -> str:
        listed = START + ' [{"name": "function name", "arguments": {arguments}}]'
        headed = START + "function name" + ARGS + "{arguments}"
        return explained(tools, listed if self.args is None else headed)

    def calls_rules(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        if self.args is None:
            inside = grammar.repeated('", "', at_most_one=at_most_one)
            before = grammar.literal('{"name": "NAME", "arguments": ')
            return grammar.calls(f'" "? "[" {inside} "]"', self.begin, tools, before, '"}"')
        rest = grammar.repeated(self.begin.lark, at_most_one=at_most_one)
        return grammar.calls(rest, self.begin, tools, f'"NAME" {self.args.lark}', "")


def _listed(call: ToolCall) -> str:
    name = grammar.literal(call.function.name)
    return f'{{"name": {name}, "arguments": {arguments_of(call)}}}'
