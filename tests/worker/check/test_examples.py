"""The records beside an adapter."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import SourceError
from worker.check.examples import FILE, MOST, Example, read_examples

ASKED = [{"role": "user", "content": "Why?"}]


def written(folder: Path, *records: Any) -> Path:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
    (folder / FILE).write_text("\n".join(lines) + "\n")
    return folder


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert read_examples("mine", tmp_path) == []


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Why?", "completion": "So."},
        {"question": "Why?", "answer": "So.", "id": 3},
        {"messages": [*ASKED, {"role": "assistant", "content": "So."}]},
        {"messages": ASKED, "answer": "So."},
    ],
    ids=range(4),
)
def test_forms(tmp_path: Path, record: Any) -> None:
    assert read_examples("mine", written(tmp_path, record, "")) == [Example(ASKED, "So.")]


def test_the_first_64(tmp_path: Path) -> None:
    found = read_examples("mine", written(tmp_path, *[{"prompt": "a", "answer": "b"}] * 99))
    assert len(found) == MOST


@pytest.mark.parametrize(
    "record",
    [
        "{",
        "[1]",
        "3",
        "[" * 50_000,
        {},
        {"prompt": "a"},
        {"answer": "b"},
        {"prompt": 3, "answer": "b"},
        {"messages": ["a"], "answer": "b"},
        {"messages": ASKED},
        {"prompt": "a", "answer": 3},
        # half a pair: no tokenizer takes it
        {"prompt": "a", "answer": "\ud83d"},
        {"prompt": "\ud83d", "answer": "b"},
    ],
    ids=range(13),
)
def test_what_is_no_record_is_refused_with_its_line(tmp_path: Path, record: Any) -> None:
    folder = written(tmp_path, {"prompt": "a", "answer": "b"}, record)
    with pytest.raises(SourceError, match=r"examples\.jsonl:2: "):
        read_examples("mine", folder)
