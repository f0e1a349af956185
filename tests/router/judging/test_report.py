"""The whole evaluation of a fake router, its figures, targets, report and pictures."""

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest

from router import RouterError
from router.judging import Evaluation, HardInput, Replay, evaluate, measure, report
from router.judging.pictures import draw
from router.judging.robustness import Typos
from router.judging.speed import Load, Timing
from router.judging.targets import TARGETS, Target, checks
from router.learning.exemplars import Exemplar
from tests.router.judging.fakes import FakeRouter, decision, six_prompts

ABOUT = {"router digest": "0123abcd", "authors": "a | b", "date": "2026-01-01"}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return Evaluation(
        quality=measure(*six_prompts()),
        typos=Typos(0.95, 0.94, 0.92, 0.91),
        timings=(
            Timing(Load("64 tokens", 64, 1, 2000), 0.6, 2.00004, 0.7, 3.0),
            Timing(Load("2,000 tokens", 2000, 1, 400), 2.0, 5.0001, 2.1, 9.0),
        ),
        hard=tuple(HardInput(f"input {n}", float(n), "out_of_domain") for n in range(21)),
        conversations=Replay(2, 1, 6, 5, 3, 1, 1, 1),
    )


def many_domains(evaluation: Evaluation) -> Evaluation:
    names = [f"domain{n}" for n in range(60)]
    table = {name: decision(name, {name: n / 60}, 0.0) for n, name in enumerate(names)}
    prompts = [Exemplar(name, name, ("en", "fr", "de", "")[n % 4]) for n, name in enumerate(names)]
    return replace(evaluation, quality=measure(FakeRouter(names, table), prompts))


def no_pictures(folder: Path, quality: object) -> tuple[Path, ...]:
    return ()


def text_of(evaluation: Evaluation, *notes: str) -> str:
    return report.text_of(evaluation, ABOUT, notes, illustrated=True)


def test_evaluate_runs_it_all(tmp_path: Path) -> None:
    router, prompts = six_prompts()
    path = tmp_path / "c.yaml"
    path.write_text("conversations: [{turns: [{user: x, domain: general}]}]", encoding="utf-8")
    seen: list[float] = []
    found = evaluate(router, prompts, path, lambda what, part: seen.append(part))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert found.quality == measure(router, prompts)
    assert found.conversations is not None
    assert found.conversations.turns == 1
    assert {target.figure for target in TARGETS} <= found.figures().keys()
    json.dumps(found.as_dict(), allow_nan=False)
    assert text_of(found)


def test_figures_are_flat_and_rounded(evaluation: Evaluation) -> None:
    found = evaluation.figures()
    assert found["macro_f1"] == 0.5222
    assert found["macro_f1.fr"] == 0.3333
    assert found["f1.a"] == 0.4
    assert found["cpu_p99_1x64_ms"] == 2.0
    assert found["hard_worst_ms"] == 20.0
    assert found["turn_accuracy"] == 0.8333
    assert all(type(value) is float for value in found.values())
    none = replace(evaluation, quality=measure(FakeRouter("a", {}), []), conversations=None)
    assert "accuracy" not in none.figures()
    assert "turn_accuracy" not in none.figures()
    json.dumps(none.as_dict(), allow_nan=False)


def test_targets(evaluation: Evaluation) -> None:
    assert [check.met for check in checks(evaluation)] == [
        *(False, False, False, False),  # macro-F1, languages, out of domain, calibration
        *(True, True, False, True),  # typos, 64 tokens, 2,000 tokens, hard inputs
    ]
    assert Target("x", "x", 0.93, at_least=True).is_met(0.93)
    none = replace(evaluation, quality=measure(FakeRouter("a", {}), []))
    assert checks(none)[0].met is None


def test_report_says_what_was_missed(evaluation: Evaluation) -> None:
    text = text_of(evaluation, "One person wrote the prompts.")
    assert "3 of 8 targets met. Missed: macro-F1, strict; English" in text
    assert "| macro-F1, strict | ≥ 0.93 | 0.5222 | **missed** |" in text
    assert "| 2,000 tokens, p99 of CPU time | ≤ 5 ms | 5.0001 ms | **missed** |" in text
    assert "| typos cost |" not in text
    assert "- One person wrote the prompts." in text
    assert r"| authors | a \| b |" in text
    assert "| prompts | 6 (3 en, 3 fr) |" in text


def test_report_names_the_processor_and_not_the_machine(evaluation: Evaluation) -> None:
    text = text_of(evaluation)
    assert f"Python {platform.python_version()}" in text
    assert not platform.node() or platform.node() not in text
    assert str(Path.cwd()) not in text


def test_report_stays_within_150_lines(evaluation: Evaluation) -> None:
    text = text_of(many_domains(evaluation), *["A note."] * 10)
    assert len(text.splitlines()) <= 150
    assert "The 15 weakest are shown." in text


def test_report_without_pictures_says_how_to_get_them(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    written = report.write(tmp_path / "new", evaluation, ABOUT, draw=no_pictures)
    assert written.paths == (tmp_path / "new" / "router-report.md",)
    assert "pip install 'ailiance-gateway[report]'" in written.hint
    assert "![" not in written.paths[0].read_text(encoding="utf-8")


def test_a_folder_that_is_a_file(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "docs").write_text("", encoding="utf-8")
    with pytest.raises(RouterError, match="can't be written"):
        report.write(tmp_path / "docs", evaluation, ABOUT, draw=no_pictures)


def test_pictures(evaluation: Evaluation, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = report.write(tmp_path, evaluation, ABOUT)
    assert not written.hint
    names = [path.name for path in written.paths]
    assert names == ["router-report.md", "router-confusion.png", "router-reliability.png"]
    text = written.paths[0].read_text(encoding="utf-8")
    assert all(f"]({name})" in text for name in names[1:])
    before = [path.read_bytes() for path in written.paths[1:]]
    assert all(content.startswith(b"\x89PNG") for content in before)
    assert all(int.from_bytes(content[16:20], "big") >= 900 for content in before)
    assert [path.read_bytes() for path in draw(tmp_path, evaluation.quality)] == before


def test_pictures_of_many_domains_and_of_none(evaluation: Evaluation, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for quality in (many_domains(evaluation).quality, measure(FakeRouter("a", {}), [])):
        assert len(draw(tmp_path, quality)) == 2
