"""Apertus: ``<|tools_prefix|>[{"get_weather": {"city": "Bern"}}, ...]<|tools_suffix|>``.

One object per call, its only key the function's name. Calls may stand inside the reasoning
(``<|inner_prefix|>`` ... ``<|inner_suffix|>``), and ``<|tools_suffix|>`` may be an end token, so
that the answer ends before it. mlx-lm has no parser for it. Sources: the chat template of
swiss-ai/Apertus-8B-Instruct-2509; swiss-ai/apertus_format, docs/format.md; SGLang's
``Apertus2509Detector`` (null arguments are an empty object).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wire.tools import FunctionSpec, ToolCall
from worker.tools import grammar
from worker.tools.formats.base import ToolFormat, arguments_of, explained
from worker.tools.json_text import Member, object_text, objects
from worker.tools.pieces import Call
from worker.tools.shapes import Shape, Slot

START, END = "<|tools_prefix|>", "<|tools_suffix|>"
THINK_START, THINK_END = "<|inner_prefix|>", "<|inner_suffix|>"
_SHAPE = Shape(
    opening=("[",),
    header=("{", Slot.NAME, ":", Slot.OBJECT),
    closing=("}",),
    between=(",",),
    final=("]",),
)


@dataclass(frozen=True)
class Apertus(ToolFormat):
    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (_SHAPE,)

    @property
    def calls_in_reasoning(self) -> bool:
        return True

    def parse(self, text: str, tools: Sequence[FunctionSpec]) -> list[Call]:
        return [_call(members) for members in objects(text)]

    def render(self, calls: Sequence[ToolCall]) -> str:
        listed = ", ".join(
            f"{{{grammar.literal(call.function.name)}: {arguments_of(call)}}}" for call in calls
        )
        return f"{START}[{listed}]{END}"

    def instructions(self, tools: Sequence[FunctionSpec]) -> str:
        return explained(tools, f'{START}[{{"function name": {{arguments}}}}]{END}')

    def calls_rules(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        inside = grammar.repeated('", "', at_most_one=at_most_one)
        rest = f'"[" {inside} "]" {self.finish.lark}'
        before = grammar.literal('{"NAME": ')
        return grammar.calls(rest, self.begin, tools, before, '"}"')


def _call(members: dict[str, Member]) -> Call:
    if len(members) != 1:
        raise ValueError("a call is an object with one key")
    name, arguments = next(iter(members.items()))
    if not name:
        raise ValueError("a call has a name")
    return Call(name, object_text(arguments.value, arguments.source))
