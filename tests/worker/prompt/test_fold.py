"""Messages to turns: each change by itself."""

from dataclasses import replace
from typing import Any

import pytest

from tests.worker.prompt.conversations import TOOL, turns
from tests.worker.prompt.templates import Format
from wire.errors import InvalidRequest
from wire.messages import Message
from wire.tools import Tool
from worker.prompt.fold import Folded, fold
from worker.prompt.template import Capabilities, plainest

ALL = Capabilities()
STRICT = replace(ALL, repeats=False, system_twice=False, assistant_first=False)


def folded(roles: str | list[dict[str, Any]], known: Capabilities, *tools: Any) -> Folded:
    messages = turns(roles) if isinstance(roles, str) else roles
    return fold(
        [Message.model_validate(m) for m in messages],
        [Tool.model_validate(t) for t in tools],
        known,
        Format(),
    )


@pytest.mark.parametrize(
    ("roles", "known", "expected", "changes"),
    [
        ("sduaua", ALL, "system developer user assistant user assistant", ""),
        ("uuaa", ALL, "user user assistant assistant", ""),
        ("uuaa", STRICT, "user assistant", "turns"),
        ("du", replace(ALL, developer=False), "system user", "developer"),
        ("su", replace(ALL, system=False), "user", "system"),
        ("ssu", replace(ALL, system=False), "user", "system"),
        ("sa", replace(ALL, system=False), "user assistant", "system"),
        ("s", replace(ALL, system=False), "user", "system"),
        ("ssu", STRICT, "system user", "turns"),
        ("usu", replace(ALL, system_later=False), "user user user", "system"),
        ("usu", replace(STRICT, system_later=False), "user", "system turns"),
        ("au", STRICT, "user assistant user", "turns"),
        ("sau", STRICT, "system user assistant user", "turns"),
        ("sau", replace(STRICT, system=False), "user assistant user", "system"),
        ("uctu", STRICT, "user assistant tool user", ""),
        ("uptx", plainest(ALL), "user assistant user", "turns tool_calls tool_turns"),
    ],
)
def test_roles(roles: str, known: Capabilities, expected: str, changes: str) -> None:
    found = folded(roles, known)
    assert " ".join(turn["role"] for turn in found.turns) == expected
    assert found.changes == tuple(changes.split())


def test_texts_are_joined_by_a_blank_line() -> None:
    assert folded("suu", plainest(ALL)).turns == [{"role": "user", "content": "W0.\n\nW1.\n\nW2."}]


def test_an_answer_joins_the_call_after_it_and_not_before() -> None:
    assert [t["content"] for t in folded("uac", STRICT).turns] == ["W0.", "W1.\n\nW2."]
    assert "tool_calls" in folded("uac", STRICT).turns[1]
    assert [t["role"] for t in folded("uca", STRICT).turns] == ["user", "assistant", "assistant"]


def test_names_and_thoughts_of_joined_turns() -> None:
    messages = [
        {"role": "user", "content": "a", "name": "ann"},
        {"role": "user", "content": "b", "name": "bob"},
        {"role": "assistant", "content": "c", "name": "x", "reasoning_content": "T0"},
        {"role": "assistant", "content": "d", "name": "x", "reasoning_content": "T1"},
    ]
    assert folded(messages, STRICT).turns == [
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "c\n\nd", "name": "x", "reasoning_content": "T0\n\nT1"},
    ]


def test_tools_as_the_template_gets_them() -> None:
    bare = {"type": "function", "function": {"name": "now", "strict": True}}
    found = folded("u", ALL, TOOL, bare)
    assert found.tools[0] == TOOL
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    assert found.tools[1]["function"] == {"name": "now", "parameters": parameters}


@pytest.mark.parametrize(
    ("roles", "opening"), [("su", "W0.\n\nTOOL resistor"), ("u", "TOOL resistor")]
)
def test_tools_as_instructions(roles: str, opening: str) -> None:
    found = folded(roles, replace(ALL, tools=False), TOOL)
    assert found.turns[0]["role"] == "system"
    assert found.turns[0]["content"].startswith(opening)
    assert set(found.turns[0]) == {"role", "content"}
    assert (found.tools, found.changes) == ([], ("tools",))


def test_instructions_of_ours_are_no_system_turn_of_the_clients() -> None:
    assert folded("u", plainest(ALL), TOOL).changes == ("tools",)
    assert folded("su", plainest(ALL), TOOL).changes == ("system", "tools")


def test_ids_of_nine_characters() -> None:
    found = folded("uptx", replace(ALL, any_call_id=False))
    calls = found.turns[1]["tool_calls"]
    ids = [call["id"] for call in calls]
    assert all(len(i) == 9 and i.isalnum() for i in ids)
    assert [turn["tool_call_id"] for turn in found.turns[2:]] == ids
    assert found.changes == ("tool_ids",)


@pytest.mark.parametrize(("roles", "tools"), [("u", [TOOL]), ("uc", [])])
def test_without_a_way_to_write_them(roles: str, tools: list[Any]) -> None:
    messages = [Message.model_validate(m) for m in turns(roles)]
    given = [Tool.model_validate(t) for t in tools]
    with pytest.raises(InvalidRequest, match="takes no tools"):
        fold(messages, given, plainest(ALL), None)
