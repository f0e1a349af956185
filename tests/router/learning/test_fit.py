"""Training: the optimiser finds the optimum, fitting is repeatable, calibration is sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from router import Router
from router.errors import RouterError
from router.learning import calibrate, fit
from router.learning.calibrate import Dev
from router.learning.exemplars import Exemplar, of_texts, read_file, read_terms
from router.learning.material import Material
from router.learning.optimise import frequent_columns, logistic_regression, sparse_matrix
from router.policy import Signals, Thresholds, decide
from router.reading import features, weights
from router.reading.features import Row
from router.reading.head import Outlier, Reading, outlier_score, softmax

FRUIT = ["apple", "pear", "plum", "cherry", "grape", "melon", "lemon", "peach"]
TOOLS = ["hammer", "saw", "drill", "wrench", "pliers", "chisel", "clamp", "screwdriver"]


def pairs_of(words: list[str], label: str) -> list[Exemplar]:
    return [Exemplar(f"{word} {words[n - 1]}", label, "en", str(n)) for n, word in enumerate(words)]


SMALL = Material([*pairs_of(FRUIT, "fruit"), *pairs_of(TOOLS, "general")], [], [])


def quiet(_what: str, _part: float) -> None:
    pass


def test_logistic_regression_ends_where_the_gradient_vanishes() -> None:
    chance = np.random.default_rng(7)
    matrix = chance.normal(size=(60, 5)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[chance.integers(0, 3, 60)]
    importance = chance.uniform(0.5, 2.0, 60).astype(np.float32)
    solved = logistic_regression(matrix, targets, importance, penalty=0.01, tolerance=1e-12)
    chances = softmax(matrix @ solved[:-1] + solved[-1])
    errors = (chances - targets) * (importance / importance.sum())[:, None]
    assert np.abs(matrix.T @ errors + 0.01 * solved[:-1]).max() < 1e-3
    assert np.abs(errors.sum(axis=0)).max() < 1e-3  # the bias is not penalised


def test_sparse_rows_keep_their_columns() -> None:
    rows = [
        Row(np.array([3, 9]), np.array([1.0, 2.0], np.float32)),
        Row(np.array([9]), np.array([4.0], np.float32)),
    ]
    matrix = sparse_matrix(rows)
    assert matrix.shape == (2, features.WIDTH)
    assert matrix[0, 3] == 1.0
    assert matrix[1, 9] == 4.0
    assert frequent_columns(matrix, 2).tolist() == [9]


def test_same_material_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        weights.save(fit.fit(SMALL, quiet).weights, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    made = fit.fit(SMALL, quiet).weights
    weights.save(made, tmp_path / "w.npz")
    loaded, digest = weights.load(tmp_path / "w.npz")
    assert loaded.labels == made.labels
    assert loaded.exemplars == made.exemplars
    assert loaded.thresholds == made.thresholds
    np.testing.assert_allclose(loaded.matrix, made.matrix, atol=2e-2)
    assert len(digest) == 64
    assert Router.load(tmp_path / "w.npz").digest == digest


def test_a_small_fit_tells_its_classes_apart() -> None:
    fitted = fit.fit(SMALL, quiet)
    router = Router(fitted.weights)
    assert router.domains == ("fruit",)
    scores = router.classify([("user", "a ripe apple and a pear")]).scores
    assert scores["fruit"] > 0.5
    assert "no dev prompts" in fitted.figures


def test_weights_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="can't be written"):
        weights.save(fit.fit(SMALL, quiet).weights, tmp_path / "no" / "w.npz")


def test_a_second_label_takes_a_share() -> None:
    both = Exemplar("apple hammer", "fruit", also="general")
    targets = fit._targets([both, Exemplar("pear", "fruit")], ["fruit", "general"])
    assert targets.tolist() == [[pytest.approx(0.7), pytest.approx(0.3)], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("domain: x\nexamples: [{lang: en}]\n", "an example has no text"),
        ("examples: [hello]\n", "no 'domain: NAME'"),
        ("domain: x\nexamples: nothing\n", "needs a list 'examples:'"),
        ("- 1\n", "not a mapping"),
        ("{", "can't be read"),
    ],
)
def test_broken_exemplars_name_the_file(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(RouterError, match=r"x\.yaml") as caught:
        read_file(path)
    assert said in str(caught.value)


def test_rows_may_carry_their_own_domain(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("examples: [{text: a, domain: emc, also: power}, {text: b, domain: dsp}]\n")
    assert [(e.label, e.also) for e in read_file(path)] == [("emc", "power"), ("dsp", "")]
    assert {e.label for e in read_file(path, "mine")} == {"mine"}


def test_a_glossary_may_have_themes(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("emc: {en: 'a b, c'}\ngeneral: {law: {fr: bail}, food: {en: jam}}\n")
    found = [(t.label, t.theme, t.lang, t.text) for t in read_terms(path)]
    assert found == [
        ("emc", "glossary", "en", "a b"),
        ("emc", "glossary", "en", "c"),
        ("general", "law", "fr", "bail"),
        ("general", "food", "en", "jam"),
    ]


def dev_of(logits: np.ndarray, truth: np.ndarray, signals: np.ndarray | None = None) -> Dev:
    rows = len(logits)
    signals = np.zeros((rows, 5), np.float32) if signals is None else signals
    return Dev(logits.astype(np.float32), signals, np.ones(rows, np.bool_), truth, truth)


def test_temperature_softens_an_overconfident_head() -> None:
    logits = np.array([[4.0, 0.0]] * 10, np.float32)
    assert calibrate.temperature(logits, np.array([0] * 7 + [1] * 3)) > 2.0
    assert calibrate.temperature(logits[:0], np.array([], np.int64)) == 1.0


def test_the_outlier_score_parts_general_from_domains() -> None:
    chance = np.random.default_rng(5)
    truth = np.array([1] * 30 + [0] * 30)  # general is the last label
    signals = chance.normal(size=(60, 5)).astype(np.float32)
    signals[:30, 0] += 4.0
    rule = calibrate.outlier(dev_of(np.zeros((60, 2)), truth, signals))
    scores = calibrate.outlier_scores(rule, signals)
    assert scores[:30].min() > 0.5 > np.median(scores[30:])
    reading = Reading(np.array([2.0, 1.0], np.float32), 3.0, 0.5, 0.5, 4.0)
    one = calibrate.outlier_scores(rule, fit.signals_of(reading)[None])
    assert outlier_score(rule, reading) == pytest.approx(float(one[0]), rel=1e-5)


def test_without_dev_of_both_kinds_the_outlier_score_is_the_default() -> None:
    only = dev_of(np.zeros((4, 2)), np.zeros(4, np.int64))
    assert calibrate.outlier(only).bias == Outlier().bias


def test_vector_rules_agree_with_the_policy() -> None:
    chance = np.random.default_rng(3)
    labels = ("a", "b", "c", "general")
    chances = chance.dirichlet(np.ones(4), 300).astype(np.float32)
    scores = chance.random(300, np.float32)
    limits = Thresholds(0.6, 0.08, 0.35, {"b": 0.5})
    dev = dev_of(np.log(chances), np.zeros(300, np.int64))
    dev = replace(dev, has_topic=chance.random(300) > 0.1)
    found = calibrate.predict(dev, chances, scores, limits, labels)
    for row, score, topic, label in zip(chances, scores, dev.has_topic, found, strict=True):
        seen = Signals(dict(zip(labels, map(float, row), strict=True)), float(score), bool(topic))
        assert (decide(seen, limits).domain or "general") == labels[label]


def test_a_domain_gets_a_line_of_its_own_only_where_it_helps() -> None:
    labels = ("a", "b", "general")
    # whatever is wrongly taken for b is less than 0.6 sure of it; a is right from 0.35 on
    rows = [[0.36, 0.3, 0.34]] * 20 + [[0.05, 0.8, 0.15]] * 20 + [[0.1, 0.55, 0.35]] * 40
    truth = np.array([0] * 20 + [1] * 20 + [2] * 40)
    dev = dev_of(np.log(np.array(rows)), truth)
    limits = calibrate.thresholds(dev, Outlier(np.zeros(5, np.float32), -9.0), labels)
    assert limits.of("a") <= 0.36
    assert limits.of("b") > 0.55


def test_texts_in_the_fleet_file_are_exemplars() -> None:
    made = of_texts(["one", "two"], "law")
    assert [(e.text, e.label) for e in made] == [("one", "law"), ("two", "law")]
    assert len({e.theme for e in made}) == 2
