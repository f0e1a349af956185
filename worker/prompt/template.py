"""What a chat template accepts, found by trying it once, at start.

Nothing is read from the template's source: what counts is what comes out. A template that
writes any role it is given knows none of them in particular.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worker.prompt.render import TemplateRefusal, Turn, render

TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "a probe",
        "parameters": {"type": "object", "properties": {"probe_key": {"type": "string"}}},
    },
}
SHORT_ID = "probe0001"
LONG_ID = "call_0123456789abcdef01234567"
Render = Callable[..., str]


@dataclass(frozen=True)
class Capabilities:
    """What can be given to a template as it is; the rest is folded (``fold.py``)."""

    system: bool = True
    system_twice: bool = True
    """Several system or developer turns in a row at the start."""
    system_later: bool = True
    developer: bool = True
    repeats: bool = True
    """Two user or two assistant turns in a row."""
    assistant_first: bool = True
    tools: bool = True
    tool_calls: Literal["dict", "text"] | None = "dict"
    """The form of a call's arguments."""
    any_call_id: bool = True
    """False: ids must be nine letters or digits (Mistral)."""
    tool_turns: bool = True
    thinking: frozenset[str] = frozenset()
    """Variables that switch reasoning."""


def plainest(known: Capabilities) -> Capabilities:
    """The most careful folding; ``thinking`` is left, since it concerns no turn."""
    return Capabilities(
        system=False,
        system_twice=False,
        system_later=False,
        developer=False,
        repeats=False,
        assistant_first=False,
        tools=False,
        tool_calls=None,
        any_call_id=False,
        tool_turns=False,
        thinking=known.thinking,
    )


def check_template(tokenizer: Any) -> None:
    """Raises ValueError where not even one user turn can be rendered."""
    turns = [_turn("user", "W0")]
    try:
        text = render(tokenizer, turns)
    except TemplateRefusal as error:
        raise ValueError(f"the chat template fails on a single user turn: {error}") from None
    if "W0" not in text:
        raise ValueError("the chat template leaves out the text of a user turn")


def probe(tokenizer: Any) -> Capabilities:
    """What the template accepts. Some thirty short renderings."""
    shows = functools.partial(_shows, functools.partial(render, tokenizer))
    text = functools.partial(_text, functools.partial(render, tokenizer))
    system = shows("system", "user")
    calls = _tool_calls(text)
    tools = _tools(text, system=system)
    return Capabilities(
        system=system,
        system_twice=shows("system", "system", "user"),
        system_later=shows("system", "user", "assistant", "system", "user"),
        developer=_knows_role(text, "developer", ()),
        repeats=shows("user", "user", "assistant", "assistant", "user"),
        assistant_first=shows("assistant", "user"),
        tools=tools,
        tool_calls=calls,
        any_call_id=calls is None or bool(_called(text, calls, LONG_ID)),
        tool_turns=_tool_turns(text, calls, tools=tools),
        thinking=_thinking(text),
    )


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def _text(render_: Render, turns: Sequence[Turn], **options: Any) -> str:
    """What comes out, or nothing."""
    try:
        return render_(turns, **options)
    except TemplateRefusal:
        return ""


def _shows(render_: Render, *roles: str) -> bool:
    """All texts come out, in order."""
    turns = [_turn(role, f"W{i}") for i, role in enumerate(roles)]
    out = _text(render_, turns)
    found = [out.find(turn["content"]) for turn in turns]
    return found[0] >= 0 and found == sorted(found)


def _knows_role(text: Render, role: str, after: Sequence[Turn], *, any_word: bool = False) -> bool:
    """Whether the role is a thing of its own; ``any_word``: one written like any other will do."""

    def with_role(name: str) -> str:
        turn = _turn(name, "W0")
        if role == "tool":
            turn["tool_call_id"] = SHORT_ID
        out = text([*after, turn, *([] if after else [_turn("user", "W1")])])
        return out.replace(name, "ROLE").replace(role, "ROLE")

    out = with_role(role)
    return "W0" in out and (any_word or out != with_role("someone"))


def _tools(text: Render, *, system: bool) -> bool:
    conversations = [[_turn("user", "W0")]]
    if system:
        conversations.append([_turn("system", "W0"), _turn("user", "W1")])
    return all("probe_tool" in text(turns, tools=[TOOL]) for turns in conversations)


def _call_turn(arguments: Any, call_id: str) -> Turn:
    function = {"name": "probe_tool", "arguments": arguments}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _called(text: Render, form: str, call_id: str) -> str:
    """A conversation with a call and its result; nothing where the call does not come out."""
    arguments = {"probe_key": "W1"} if form == "dict" else '{"probe_key": "W1"}'
    turns = [_turn("user", "W0"), _call_turn(arguments, call_id)]
    out = text(turns, add_generation_prompt=False)
    return out if "probe_tool" in out and "W1" in out else ""


def _tool_calls(text: Render) -> Literal["dict", "text"] | None:
    as_dict = _called(text, "dict", SHORT_ID)
    as_text = _called(text, "text", SHORT_ID)
    # Python's quotes: the template writes what it is given and expects JSON
    if as_dict and not ("'probe_key'" in as_dict and as_text):
        return "dict"
    return "text" if as_text else None


def _tool_turns(text: Render, calls: str | None, *, tools: bool) -> bool:
    arguments: Any = '{"probe_key": "A0"}' if calls == "text" else {"probe_key": "A0"}
    turns = [_turn("user", "U0")]
    turns.append(_call_turn(arguments, SHORT_ID) if calls else _turn("assistant", "A0"))
    # who renders tools and writes any role means the tool's one, too
    return _knows_role(text, "tool", turns, any_word=tools)


def _thinking(text: Render) -> frozenset[str]:
    values: dict[str, tuple[Any, Any]] = {
        "reasoning_effort": ("low", "high"),
        "enable_thinking": (False, True),
        "thinking": (False, True),
    }
    turns = [_turn("user", "W0")]
    return frozenset(
        name
        for name, (one, other) in values.items()
        if text(turns, **{name: one}) != text(turns, **{name: other})
    )
