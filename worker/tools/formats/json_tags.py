"""``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``: Hermes, Qwen, and our fallback.

One call between two tags. As ``json_tools`` (mlx-lm's name) it is what the model was trained on;
as ``plain`` it is ordinary text that ``instructions`` explains to a model without a format of its
own. Source of the trained form: the chat templates of Hermes 2 Pro and Qwen 2.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wire.tools import FunctionSpec, ToolCall
from worker.tools import grammar
from worker.tools.formats.base import ToolFormat, arguments_of, explained, named_calls
from worker.tools.pieces import Call
from worker.tools.shapes import NAMED, Shape

START, END = "<tool_call>", "</tool_call>"
_SHAPE = Shape(header=NAMED, closing=("}",))


@dataclass(frozen=True)
class JsonTags(ToolFormat):
    @property
    def shapes(self) -> tuple[Shape, ...]:
        return (_SHAPE,)

    def parse(self, text: str, tools: Sequence[FunctionSpec]) -> list[Call]:
        return named_calls(text)

    def render(self, calls: Sequence[ToolCall]) -> str:
        return "\n".join(
            self._written(grammar.literal(call.function.name), arguments_of(call)) for call in calls
        )

    def instructions(self, tools: Sequence[FunctionSpec]) -> str:
        return explained(tools, self._written('"function name"', "{arguments}"))

    def calls_rules(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        before = grammar.literal('\n{"name": "NAME", "arguments": ')
        # an end tag that is an end token ends the answer: no second call
        again = f"{self.finish.lark} {grammar.literal(chr(10))} {self.begin.lark}"
        rest = grammar.repeated(again, at_most_one=at_most_one or self.finish.ends)
        after = grammar.literal("}\n")
        return grammar.calls(f"{rest} {self.finish.lark}", self.begin, tools, before, after)

    def _written(self, name: str, arguments: str) -> str:
        return f'{self.start}\n{{"name": {name}, "arguments": {arguments}}}\n{self.end}'
