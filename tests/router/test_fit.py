"""Training: the optimiser finds the optimum, fitting is repeatable, eight examples suffice."""

from pathlib import Path

import numpy as np
import pytest

from router import Router, RouterError, calibrate, exemplars, fit, weights
from router.augment import sloppy
from router.calibrate import HeldOut
from router.features import Row
from router.head import Thresholds
from router.optimise import Matrix, logistic, minimise
from router.policy import Signals, decide

FRUIT = ["apple", "pear", "plum", "cherry", "grape", "melon", "lemon", "peach"]
TOOLS = ["hammer", "saw", "drill", "wrench", "pliers", "chisel", "clamp", "screwdriver"]


def write_data(folder: Path) -> Path:
    folder.mkdir()
    for name, words in (("fruit", FRUIT), ("general", TOOLS)):
        rows = [{"text": f"{word} {words[n - 1]}", "theme": str(n)} for n, word in enumerate(words)]
        (folder / f"{name}.yaml").write_text(f"domain: {name}\nexamples: {rows}\n")
    return folder


def quiet(_what: str, _part: float) -> None:
    pass


def random_problem() -> tuple[Matrix, np.ndarray, np.ndarray]:
    chance = np.random.default_rng(7)
    rows = [
        Row(np.sort(chance.choice(30, 6, replace=False)), chance.random(6, np.float32))
        for _ in range(40)
    ]
    targets = np.eye(3, dtype=np.float32)[chance.integers(0, 3, 40)]
    return Matrix.of(rows, 1, 3), targets, np.ones(40, np.float32)


def test_gradient_is_that_of_the_loss() -> None:
    matrix, targets, importance = random_problem()
    objective = logistic(matrix, targets, importance, 0.01)
    size = (len(matrix.columns) + 1) * 3
    point = np.random.default_rng(1).normal(size=size).astype(np.float32)
    _, gradient = objective(point)
    for at in (0, 5, size - 1):
        step = np.zeros(size, np.float32)
        step[at] = 1e-2
        slope = (objective(point + step)[0] - objective(point - step)[0]) / 2e-2
        assert slope == pytest.approx(gradient[at], abs=2e-3)


def test_minimise_ends_where_the_gradient_vanishes() -> None:
    matrix, targets, importance = random_problem()
    objective = logistic(matrix, targets, importance, 0.01)
    start = np.zeros((len(matrix.columns) + 1) * 3, np.float32)
    best = minimise(objective, start, steps=200, tolerance=1e-9)
    assert objective(best)[0] < objective(start)[0]
    assert np.abs(objective(best)[1]).max() < 1e-3


def test_same_data_same_bytes(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    for name in ("a", "b"):
        made, _ = fit.fit(data, None, quiet)
        weights.save(made, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_new_domain_is_eight_examples(tmp_path: Path) -> None:
    made, figures = fit.fit(write_data(tmp_path / "data"), None, quiet)
    weights.save(made, tmp_path / "w.npz")
    router = Router.load(tmp_path / "w.npz")
    assert router.domains == ("fruit",)
    scores = router.classify([("user", "a ripe apple and a pear")]).scores
    assert scores["fruit"] > scores["general"]
    assert "macro-F1" in figures


def test_missing_data_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="--data"):
        fit.fit(tmp_path, None, quiet)


def test_broken_exemplar_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("domain: x\nexamples: [{lang: en}]\n")
    with pytest.raises(RouterError, match=r"x\.yaml: an example has no text"):
        exemplars.read_file(path)


def test_sloppy_copies_are_repeatable_and_differ() -> None:
    whole = exemplars.Exemplar("the regulator oscillates at light load", "power", "en", "x")
    assert sloppy(whole, 1) == sloppy(whole, 1)
    assert sloppy(whole, 1).text != whole.text
    assert sloppy(whole, 1).label == "power"


def test_temperature_softens_an_overconfident_head() -> None:
    logits = np.array([[4.0, 0.0]] * 10, np.float32)
    truth = np.array([0] * 7 + [1] * 3)
    held = HeldOut(logits, np.ones(10, np.float32), truth)
    assert calibrate.temperature(held) > 2.0


def test_vector_rules_agree_with_the_policy() -> None:
    chance = np.random.default_rng(3)
    scores = chance.dirichlet(np.ones(4), 300).astype(np.float32)
    shares = chance.random(300, np.float32)
    limits = Thresholds(0.35, 1.3, 0.08, 0.4, 0.6)
    held = HeldOut(scores, shares, np.zeros(300, np.int64))
    names = ["a", "b", "c", "general"]
    for row, share, label in zip(
        scores, shares, calibrate.predict(held, scores, limits), strict=True
    ):
        signals = Signals(dict(zip(names, map(float, row), strict=True)), float(share), True)
        assert (decide(signals, limits).domain or "general") == names[label]
