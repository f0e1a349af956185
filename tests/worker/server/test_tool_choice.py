"""What a request asks about tools, by table."""

import json
from typing import Any

import pytest

from wire.requests import parse_chat
from worker.server.tool_choice import ToolPlan, plan_tools


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def plan(**fields: Any) -> ToolPlan:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    return plan_tools(parse_chat(json.dumps(body).encode()))


NAMED = {"type": "function", "function": {"name": "g"}}


def allowed(mode: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [NAMED]}}


@pytest.mark.parametrize(
    ("choice", "mode", "names", "once"),
    [
        (None, "auto", "fg", False),
        ("auto", "auto", "fg", False),
        ("none", "none", "", False),
        ("required", "required", "fg", False),
        (NAMED, "required", "g", True),
        (allowed("auto"), "auto", "g", False),
        (allowed("required"), "required", "g", False),
    ],
)
def test_choices(choice: Any, mode: str, names: str, once: bool) -> None:
    found = plan(tools=[tool("f"), tool("g")], tool_choice=choice)
    assert found.mode == mode
    assert [function.name for function in found.callable] == list(names)
    assert found.at_most_one is once


def test_without_tools_there_is_nothing_to_choose() -> None:
    assert plan() == plan(tools=[]) == plan(tool_choice="auto") == ToolPlan("none")


def test_auto_is_guided_by_strict_functions_or_a_single_call() -> None:
    assert not plan(tools=[tool("f")]).guided
    assert plan(tools=[tool("f"), tool("g", strict=True)]).guided
    assert plan(tools=[tool("f")], parallel_tool_calls=False).guided
    assert not plan(tools=[tool("f")], parallel_tool_calls=True).guided
