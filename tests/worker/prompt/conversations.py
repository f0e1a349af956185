"""Conversations as clients send them, awkward ones among them; each text once, W0, W1..."""

from typing import Any

TOOL = {
    "type": "function",
    "function": {"name": "resistor", "description": "DESCRIBED", "parameters": {"type": "object"}},
}


def call(*ids: str) -> list[dict[str, Any]]:
    return [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": "resistor", "arguments": f'{{"ohms": "R{i}"}}'},
        }
        for i, call_id in enumerate(ids)
    ]


def turns(roles: str) -> list[dict[str, Any]]:
    """``sdua``: system, developer, user, assistant; ``c`` a call, ``t`` its result, ``p`` two
    calls, ``x`` the result of the second."""
    names = {"s": "system", "d": "developer", "u": "user", "a": "assistant"}
    found: list[dict[str, Any]] = []
    for i, letter in enumerate(roles):
        turn: dict[str, Any] = {"content": f"W{i}."}
        if letter in names:
            turn["role"] = names[letter]
        elif letter in "tx":
            call_id = "call_123456789ab" if letter == "t" else "call_2"
            turn |= {"role": "tool", "tool_call_id": call_id}
        else:
            ids = ["call_123456789ab", "call_2"][: 1 + (letter == "p")]
            turn |= {"role": "assistant", "tool_calls": call(*ids)}
        found.append(turn)
    return found
