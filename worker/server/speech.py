"""What a chat answer may say and how it is read: reasoning, text, calls, a constraint. Pure.

1. A constraint of the request, and no functions: the answer is held to it.
2. A call is required: the answer is calls, in the model's own format where it can be forced.
   Their arguments fit, whether or not the function is strict: what can't be enforced is refused.
3. Functions and a constraint: calls, or an answer held to the constraint.
4. Functions that are strict, or at most one call: any text, after a thought if the model begins
   with one, but a call once begun is held to its function's schema.
5. Else nothing is held: what the model says is read.
An answer that begins inside a thought is held from the end of that thought on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wire.errors import InvalidRequest
from wire.requests import ChatRequest
from wire.structured import Constraint
from wire.tools import FunctionSpec
from worker.guidance.grammars import after_reasoning, either, grammar_of
from worker.server.tool_choice import ToolPlan, plan_tools
from worker.tools.choose import Marks, forced_format, format_of, marks_of
from worker.tools.formats.base import ToolFormat


@dataclass(frozen=True)
class Heard:
    """``grammar`` None: any text. ``param``: the field that it came from.

    ``reads`` False: there is nothing but content to be found.
    """

    grammar: str | None
    param: str
    format: ToolFormat | None
    marks: Marks
    tools: Sequence[FunctionSpec]

    @property
    def reads(self) -> bool:
        return bool(self.tools or self.marks.think_start)

    @property
    def visible(self) -> frozenset[int]:
        return self.marks.visible if self.reads else frozenset()


class Speech:
    """For one base's tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.format = format_of(tokenizer)
        self._forced = forced_format(self.format)
        self._marks = marks_of(tokenizer, self.format)
        self._forced_marks = marks_of(tokenizer, self._forced)
        self._silent_marks = marks_of(tokenizer, None)
        added: dict[str, int] = tokenizer.get_added_vocab()
        end = self._silent_marks.think_end
        self._think_end: str | int = added.get(end, end)
        marks = [added.get(mark) for mark in (self._silent_marks.think_start, end)]
        # marks that are no tokens are text, of which rule 4 allows any
        self._thought = "" if None in marks else "(<[{}]> /(?s:.*)/ <[{}]>)?".format(*marks)

    def plan(self, request: ChatRequest, *, in_reasoning: bool) -> Heard:
        """Raises InvalidRequest for a constraint that can't be held."""
        tools, constraint = plan_tools(request), request.constraint()
        grammar = self._grammar(tools, constraint)
        # where calls are required, the constraint is not asked for
        param = constraint.param if constraint and tools.mode != "required" else "tools"
        if grammar is not None and request.ignore_eos:
            # the answer ends where its grammar does
            message = "ignore_eos can't go with an answer that is held to a form; leave it out"
            raise InvalidRequest(message, param="ignore_eos")
        if grammar is not None and in_reasoning:
            grammar = after_reasoning(self._think_end, grammar)
        if tools.mode == "none":
            return Heard(grammar, param, None, self._silent_marks, ())
        if grammar is not None:
            return Heard(grammar, param, self._forced, self._forced_marks, tools.callable)
        return Heard(None, "", self.format, self._marks, tools.callable)

    def _grammar(self, tools: ToolPlan, constraint: Constraint | None) -> str | None:
        once = tools.at_most_one
        if tools.mode == "none":
            return grammar_of(constraint) if constraint else None
        if tools.mode == "required":
            held = [tool.model_copy(update={"strict": True}) for tool in tools.callable]
            return self._forced.lark(held, at_most_one=once)
        if constraint is not None:
            return either(self._forced.lark(tools.callable, at_most_one=once), constraint)
        if tools.guided:
            rules = self._forced.auto_rules(tools.callable, at_most_one=once)
            return f"start: {self._thought} tc_auto\n{rules}"
        return None
