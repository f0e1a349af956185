"""Read ``examples.jsonl`` beside an adapter: what it is asked, and what it should say.

The records of ``ailiance eval``: the conversation is ``messages``, or one user message in
``prompt`` or ``question``; the answer is ``answer`` or ``completion``, or the last of
``messages``. Refuses what it can't read with file and line.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fleet.errors import SourceError

FILE = "examples.jsonl"
MOST = 64
MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Example:
    """The turns before the answer, and the answer."""

    turns: Sequence[Mapping[str, str]]
    answer: str


def read_examples(name: str, folder: Path) -> list[Example]:
    """The first 64 examples of an adapter, or none. Raises SourceError."""
    file = folder / FILE
    if not file.is_file():
        return []
    try:
        with file.open("rb") as stream:
            lines = stream.read(MAX_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(name, f"'{file}' can't be read: {error}") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return [_example(name, f"{file}:{number}", line) for number, line in numbered[:MOST]]


def _example(name: str, where: str, line: str) -> Example:
    try:
        parsed: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise SourceError(name, f"{where}: not JSON; one object a line") from None
    record = cast(dict[str, Any], parsed) if isinstance(parsed, dict) else {}
    turns = _turns(record)
    answer = next((record[key] for key in ("answer", "completion") if record.get(key)), None)
    if answer is None and turns and turns[-1]["role"] == "assistant":
        answer = turns.pop()["content"]
    if not turns or not isinstance(answer, str):
        raise SourceError(name, f"{where}: a line is {{'prompt': TEXT, 'completion': TEXT}}")
    try:
        "".join([answer, *(turn["role"] + turn["content"] for turn in turns)]).encode()
    except UnicodeEncodeError:
        raise SourceError(name, f"{where}: half of a surrogate pair, which is no text") from None
    return Example(turns, answer)


def _turns(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Empty where the record has none that a template takes."""
    asked = next((record[key] for key in ("prompt", "question") if record.get(key)), None)
    given = [{"role": "user", "content": asked}] if asked is not None else record.get("messages")
    turns: list[dict[str, str]] = []
    for turn in cast(list[Any], given) if isinstance(given, list) else []:
        fields = cast(dict[str, Any], turn) if isinstance(turn, dict) else {}
        role, content = fields.get("role"), fields.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            return []
        turns.append({"role": role, "content": content})
    return turns
