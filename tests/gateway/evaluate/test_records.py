"""Records of all the forms that are read, and what is refused, with file and line."""

import pytest

from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.records import Record, read_records

ASKED = [{"role": "user", "content": "why?"}]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "records.jsonl"


@pytest.mark.parametrize(
    "line",
    [
        '{"prompt": "why?", "answer": "so"}',
        '{"question": "why?", "completion": "so", "id": 3, "held_out": "?"}',
        '{"messages": [{"role": "user", "content": "why?"}], "answer": "so"}',
        '{"messages": [{"role": "user", "content": "why?"}, '
        '{"role": "assistant", "content": "so"}]}',
        '{"prompt": null, "question": "why?", "answer": "so"}',
    ],
)
def test_forms(file, line):
    file.write_text(f"\n{line}\n\n{line}", "utf-8")
    assert read_records(file) == [Record(ASKED, "so")] * 2
    assert read_records(file, limit=1) == [Record(ASKED, "so")]


def test_a_key_of_ones_own(file):
    file.write_text('{"question": "no", "held_out": "why?", "answer": "so"}', "utf-8-sig")
    assert read_records(file, prompt_key="held_out") == [Record(ASKED, "so")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ('{"answer": "so"}', "no 'messages' or 'prompt' or 'question'"),
        ('{"prompt": "why?"}', "no 'answer' or 'completion'"),
        ('{"prompt": "why?", "answer": 3}', "not a text"),
        ('{"prompt": "why?", "answer": " "}', "not a text"),
        ('{"prompt": 3, "answer": "so"}', "'prompt' is neither text nor a list"),
        ('{"messages": ["why?"], "answer": "so"}', "'messages' is neither text nor a list"),
        ('{"messages": [{"role": "assistant", "content": "so"}]}', "asks nothing"),
    ],
)
def test_refused(file, line, words):
    file.write_text(f'{{"prompt": "why?", "answer": "so"}}\n{line}\n', "utf-8")
    with pytest.raises(EvaluationError) as caught:
        read_records(file)
    assert str(caught.value).startswith(f"{file}:2: ")
    assert words in str(caught.value)


def test_files_that_hold_none(file):
    with pytest.raises(EvaluationError, match="can't be read"):
        read_records(file)
    file.write_bytes(b"\n\n")
    with pytest.raises(EvaluationError, match="no records"):
        read_records(file)
    file.write_bytes(b"\xff")
    with pytest.raises(EvaluationError, match="can't be read"):
        read_records(file)
