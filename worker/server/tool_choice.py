"""What a chat request asks about tools: which may be called, and whether one must be. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wire.requests import ChatRequest
from wire.tools import AllowedToolsChoice, FunctionSpec, NamedTool

Mode = Literal["none", "auto", "required"]


@dataclass(frozen=True)
class ToolPlan:
    """``callable``: the functions that may be called; none in mode ``none``.

    ``at_most_one``: no second call. ``guided``: also in mode ``auto`` a call, once begun, is
    held to its function's schema.
    """

    mode: Mode
    callable: Sequence[FunctionSpec] = ()
    at_most_one: bool = False

    @property
    def guided(self) -> bool:
        return self.at_most_one or any(function.strict for function in self.callable)


def plan_tools(request: ChatRequest) -> ToolPlan:
    """The plan of a request that wire has checked: all functions named are among its tools."""
    functions = [tool.function for tool in request.tools or []]
    choice = request.tool_choice or "auto"
    if not functions or choice == "none":
        return ToolPlan("none")
    once = request.parallel_tool_calls is False
    if isinstance(choice, NamedTool):
        # a function that is named is called once, as OpenAI does
        return ToolPlan("required", _only(functions, [choice.function.name]), at_most_one=True)
    if isinstance(choice, AllowedToolsChoice):
        names = [tool.function.name for tool in choice.allowed_tools.tools]
        return ToolPlan(choice.allowed_tools.mode, _only(functions, names), once)
    return ToolPlan(choice, functions, once)


def _only(functions: Sequence[FunctionSpec], names: Sequence[str]) -> list[FunctionSpec]:
    return [function for function in functions if function.name in names]
