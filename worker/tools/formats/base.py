"""What the reader, the prompt and the grammar need to know of one way of writing calls."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from wire.structured import canonical
from wire.tools import FunctionSpec, ToolCall
from worker.tools.grammar import Mark, auto
from worker.tools.json_text import Member, object_text, objects
from worker.tools.pieces import Call
from worker.tools.shapes import Shape


@dataclass(frozen=True)
class ToolFormat(ABC):
    """How one family of models writes calls. Immutable; safe from any thread.

    ``begin`` and ``finish`` stand around calls; an empty ``finish`` is the end of the answer.
    """

    name: str
    begin: Mark
    finish: Mark

    @property
    def start(self) -> str:
        return self.begin.text

    @property
    def end(self) -> str:
        return self.finish.text

    @property
    def inner(self) -> tuple[str, ...]:
        """Other marks inside calls."""
        return ()

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """How calls whose arguments can be streamed look; none if calls are read whole."""
        return ()

    @property
    def calls_in_reasoning(self) -> bool:
        """A start mark inside reasoning begins calls."""
        return False

    @abstractmethod
    def parse(self, text: str, tools: Sequence[FunctionSpec]) -> list[Call]:
        """The calls of the text between the marks; raises ValueError if it is none."""

    @abstractmethod
    def render(self, calls: Sequence[ToolCall]) -> str:
        """An earlier turn's calls as the model would have written them, marks included."""

    @abstractmethod
    def instructions(self, tools: Sequence[FunctionSpec]) -> str:
        """System text that says which functions there are and how to call them."""

    @abstractmethod
    def calls_rules(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        """Rules of llguidance's Lark: calls of these functions. The top one is ``tool_calls``."""

    def auto_rules(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        """As ``calls_rules``, and the rule ``tc_auto``: text, text and calls, or calls."""
        return auto(self.begin) + self.calls_rules(tools, at_most_one=at_most_one)

    def lark(self, tools: Sequence[FunctionSpec], *, at_most_one: bool) -> str:
        """A whole grammar, rule ``start``: the answer is calls of these functions."""
        return "start: tool_calls\n" + self.calls_rules(tools, at_most_one=at_most_one)


def named_calls(text: str) -> list[Call]:
    """Calls written as ``{"name", "arguments"}``, one or a list; raises ValueError."""
    return [_named(members) for members in objects(text)]


def _named(members: dict[str, Member]) -> Call:
    name, arguments, own = (members.get(key) for key in ("name", "arguments", "id"))
    if name is None or not isinstance(name.value, str) or not name.value:
        raise ValueError("a call has a name")
    given = "{}" if arguments is None else object_text(arguments.value, arguments.source)
    is_id = own is not None and isinstance(own.value, str) and own.value
    return Call(name.value, given, own.value if own and is_id else None)


def arguments_of(call: ToolCall) -> str:
    return call.function.arguments.strip() or "{}"


def explained(tools: Sequence[FunctionSpec], form: str) -> str:
    """Instructions for a model whose template does not know tools; ``form`` is how a call looks."""
    listed = "\n".join(_described(tool) for tool in tools)
    return (
        f"You can call these functions, given as JSON, one a line:\n{listed}\n"
        f"To call one, answer with nothing but this, filled in:\n{form}\n"
        "The arguments are a JSON object that fits the function's parameters. "
        "You may call several. Call a function only if it helps; otherwise answer in plain text."
    )


def _described(tool: FunctionSpec) -> str:
    shown: dict[str, object] = {"name": tool.name}
    if tool.description:
        shown["description"] = tool.description
    return canonical({**shown, "parameters": tool.schema_of_arguments})
