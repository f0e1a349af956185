"""``ailiance router fit`` and ``eval``: faults are one line, found before the work."""

import json
from pathlib import Path

import pytest

from gateway.cli import main
from router import DEFAULT_WEIGHTS, Router

FLEET = """\
version: 1
bases: {b: {engine: openai, url: "http://127.0.0.1:1", model: m}}
domains:
  emc: {description: emc}
"""
PROMPTS = """\
examples:
  - {text: "EN 55032 conducted emissions fail at 180 kHz", domain: emc, lang: en}
  - {text: "recette de pancakes", domain: general, lang: fr}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "adapters.yaml"
    path.write_text(FLEET)
    return path


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(part) for part in argv])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_fit_where_nothing_can_be_written_is_refused_at_once(config, capsys, tmp_path):
    for out in (tmp_path, tmp_path / "no" / "w.npz"):
        code, _, said = run(capsys, "router", "fit", "--config", config, "--out", out)
        assert code == 78
        assert said.count("\n") == 1
        assert "--out" in said


def test_fit_of_a_fleet_without_domains_says_so(config, capsys):
    config.write_text(FLEET.partition("domains")[0])
    code, _, said = run(capsys, "router", "fit", "--config", config)
    assert (code, "add one with at least 8 examples" in said) == (78, True)


def test_fit_writes_beside_the_fleet_file_and_eval_asks_for_prompts_it_knows(
    config, capsys, tmp_path
):
    code, told, _ = run(capsys, "router", "fit", "--config", config)
    assert code == 0
    assert "1 domains" in told
    assert Router.load(config.parent / "router.npz").domains == ("emc",)
    code, _, said = run(capsys, "router", "eval", "--config", config, "--out", tmp_path)
    assert code == 78
    assert "does not know" in said
    assert "--data" in said


def test_eval_of_ones_own_prompts(config, capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text(PROMPTS)
    record = tmp_path / "record.json"
    code, told, _ = run(
        capsys,
        *("router", "eval", "--config", config, "--weights", DEFAULT_WEIGHTS),
        *("--data", tmp_path / "mine.yaml", "--out", tmp_path / "report", "--record", record),
    )
    assert code == 0
    assert "macro-F1" in told
    report = (tmp_path / "report" / "router-report.md").read_text()
    assert "--data mine.yaml" in report
    assert "eight fits" not in report
    assert json.loads(record.read_text())["accuracy"] == 1.0


def test_a_record_that_cannot_be_written_says_so(config, capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text(PROMPTS)
    code, _, said = run(
        capsys,
        *("router", "eval", "--config", config, "--data", tmp_path / "mine.yaml"),
        *("--out", tmp_path, "--record", tmp_path / "no" / "r.json"),
    )
    assert (code, "can't be written" in said) == (78, True)
