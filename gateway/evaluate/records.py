"""Read the records that an adapter is measured on: a conversation and the answer to it.

One JSON object a line. The conversation is ``messages``, or one user message in ``prompt`` or
``question``; the answer is ``answer`` or ``completion``, or the last of ``messages`` if that
is the assistant's. Other keys are left alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gateway.evaluate.errors import EvaluationError

PROMPT_KEYS = ("messages", "prompt", "question")
ANSWER_KEYS = ("answer", "completion")


@dataclass(frozen=True)
class Record:
    """What is asked, as the API takes it, and the reference answer."""

    messages: list[dict[str, Any]]
    answer: str


def read_records(
    path: Path, limit: int | None = None, prompt_key: str | None = None
) -> list[Record]:
    """The records of a file, or the first ``limit``. Raises EvaluationError with file and line."""
    keys = PROMPT_KEYS if prompt_key is None else (prompt_key,)
    records: list[Record] = []
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip() and (limit is None or len(records) < limit):
                    records.append(_record(line, keys, f"{path}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: can't be read: {error}") from None
    if not records:
        raise EvaluationError(f"{path}: no records; a line is {{'prompt': ..., 'answer': ...}}")
    return records


def _record(line: str, keys: tuple[str, ...], where: str) -> Record:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise EvaluationError(f"{where}: not JSON; one object a line") from None
    if not isinstance(found, dict):
        raise EvaluationError(f"{where}: not an object; a line is {{'prompt': ..., 'answer': ...}}")
    value = cast(dict[str, Any], found)
    key = next((key for key in keys if value.get(key) is not None), None)
    if key is None:
        raise EvaluationError(f"{where}: no {_either(keys)}; add it, or name yours: --prompt-key")
    messages = _messages(value[key], f"{where}: '{key}'")
    answer = _answer(value, messages, where)
    if not messages:
        raise EvaluationError(
            f"{where}: '{key}' asks nothing; it needs a message before the answer"
        )
    return Record(messages, answer)


def _messages(value: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    messages = cast(list[Any], value) if isinstance(value, list) else []
    if not messages or not all(isinstance(each, dict) and "role" in each for each in messages):
        raise EvaluationError(f"{where} is neither text nor a list of {{'role', 'content'}}")
    return list(cast(list[dict[str, Any]], messages))


def _answer(value: Mapping[str, Any], messages: list[dict[str, Any]], where: str) -> str:
    """The reference; the last message where the conversation ends in it, which is taken off."""
    key = next((key for key in ANSWER_KEYS if value.get(key) is not None), None)
    if key is not None:
        answer = value[key]
    elif messages[-1].get("role") == "assistant":
        answer = messages.pop().get("content")
    else:
        raise EvaluationError(f"{where}: no {_either(ANSWER_KEYS)}; add it")
    if not isinstance(answer, str) or not answer.strip():
        raise EvaluationError(f"{where}: the answer is not a text; write it as one")
    return answer


def _either(keys: tuple[str, ...]) -> str:
    return " or ".join(f"'{key}'" for key in keys)
