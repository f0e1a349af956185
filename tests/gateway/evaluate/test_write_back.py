"""The fleet file on disk: replaced whole, or left as it was."""

import os
from datetime import date

import pytest

from fleet.evidence.results import Evaluation
from fleet.load import load_fleet
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.write_back import check_writable, write_results

TEXT = """\
# ours
version: 1
prefix: ai
bases:
  b: {engine: openai, url: "http://b", model: m}
adapters:
  power: {base: b, source: s}  # é
  law: &law
    base: b
    source: t
"""
RESULT = Evaluation(
    benchmark="exact", base=0.0, adapter=0.9, date=date(2026, 11, 20), source="x.jsonl", n=40
)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "adapters.yaml"
    file.write_text(TEXT, "utf-8")
    return file


@pytest.mark.parametrize("adapter", ["power", "law"])
def test_written(file, adapter):
    file.chmod(0o640)
    assert write_results(file, adapter, [RESULT]) == load_fleet(file)
    assert load_fleet(file).adapters[adapter].evaluation == (RESULT,)
    text = file.read_text("utf-8")
    assert [line for line in TEXT.splitlines() if line[-1] != "é" and line not in text] == []
    assert "# é" in text
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == [file.name]


def test_a_link_stays_one(file, tmp_path):
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    write_results(link, "power", [RESULT])
    assert link.is_symlink()
    assert load_fleet(file).adapters["power"].evaluation == (RESULT,)


def test_what_would_not_load_is_not_written(file):
    text = TEXT + 'evidence: {serve_if: "exact <= base"}\n'
    file.write_text(text, "utf-8")
    with pytest.raises(EvaluationError) as caught:
        write_results(file, "power", [RESULT])
    for words in ("asks for a worse result", "add to adapters.power.evaluation:", "- {benchmark:"):
        assert words in str(caught.value)
    assert file.read_text("utf-8") == text
    assert os.listdir(file.parent) == [file.name]


def test_an_adapter_that_others_refer_to_is_not_edited(file):
    text = TEXT + "  tax: *law\n"
    file.write_text(text, "utf-8")
    with pytest.raises(EvaluationError, match="not edited by program"):
        write_results(file, "law", [RESULT])
    assert file.read_text("utf-8") == text


def test_asked_before_measuring(file):
    for name in ("power", "ai-b-power"):
        check_writable(file, name)
    with pytest.raises(EvaluationError, match="no adapter 'nope' in it; omit --write"):
        check_writable(file, "nope")
