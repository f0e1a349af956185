"""Terms: contributions add up, stand for the right words, and come back as they were typed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.explaining.spans import locate
from router.explaining.terms import Contrast, contrast
from router.reading import cues, features
from router.reading.features import Grams
from router.reading.head import Reading, Weights, read
from tests.router.explaining.tiny import blank, random_weights

RANDOM = random_weights()
HARD = [
    "",
    " ",
    "buck converter",
    "The BUCK, the buck; and the Buck-Boost (12 V -> 5 V) std::vector<int>",
    "Étage émetteur: cafe\u0301 crème, naïve façade",
    "İstanbul ΟΔΟΣ ΣΑΣ ﬁltre ½ Ω µ ° ㎒ ﷺ",
    "ﷺ" * 3000,
    "é" * 3200,
    "\0\0 \x1b[31m 🎉🎉 \u0301 é \ud800 x\udfff",
    "각 각 नमस्ते ไทย 你好世界 a\u0323\u0302 a\u0302\u0323",
    "---- ::: ->>> +++",
]


def contrast_of(weights: Weights, text: str) -> tuple[Contrast, Reading, Grams]:
    grams = features.extract(text)
    reading = read(weights, grams)
    found = contrast(weights, text, reading)
    assert found is not None
    return found, reading, grams


def check_sum(weights: Weights, text: str) -> None:
    found, reading, _ = contrast_of(weights, text)
    at = {name: float(value) for name, value in zip(weights.labels, reading.logits, strict=True)}
    total = sum(term.contribution for term in found.terms) + found.bias
    assert total == pytest.approx(found.difference, rel=1e-6, abs=1e-9)
    # single-precision logits of which the difference may nearly cancel
    slack = 1e-6 * max(map(abs, at.values()))
    assert total == pytest.approx(at[found.best] - at[found.second], rel=1e-3, abs=slack)


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_contributions_and_bias_add_up_to_the_logit_difference(text: str) -> None:
    check_sum(RANDOM, text)


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(codec=None), max_size=80))
def test_they_add_up_for_any_text(text: str) -> None:
    check_sum(RANDOM, text)


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(codec=None), max_size=80))
def test_every_ngram_has_a_place_in_the_text(text: str) -> None:
    grams, spans = features.extract(text), locate(text)
    assert len(spans.words) == len(grams.words)
    assert len(spans.pairs) == len(grams.pairs)
    assert len(spans.letters) == len(grams.letters)
    owners = {*spans.words, *spans.letters, *(unit for pair in spans.pairs for unit in pair)}
    assert owners <= set(range(len(spans.units)))
    assert all(0 <= unit.start < unit.end <= len(text) for unit in spans.units)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Buck, (boost)", ["Buck", "boost"]),
        ("cafe\u0301 noir", ["cafe\u0301", "noir"]),
        ("Étage à ﬁltre", ["Étage", "à", "ﬁltre"]),
        ("İzmir ΟΔΟΣ x", ["İzmir", "ΟΔΟΣ", "x"]),
        ("std::vector", ["std", "vector"]),
        ("a\u0302\u0323b 각\u200b각", ["a\u0302\u0323b", "각", "각"]),
    ],
)
def test_spans_are_those_of_the_text_as_typed(text: str, words: list[str]) -> None:
    units = [unit for unit in locate(text).units if unit.kind == "word"]
    assert [text[unit.start : unit.end] for unit in units] == words


def test_a_word_its_pair_and_its_cue_by_hand() -> None:
    weights = blank(temperature=0.5)
    text = "buck esp32"
    grams = features.extract(text)
    cue = cues.NAMES.index("mcu") + features.BUCKETS
    weights.matrix[grams.words[0], 0] = 1.0
    weights.matrix[grams.pairs[0], 1] = 0.5
    weights.matrix[cue, 0] = 2.0
    weights.bias[:] = [0.3, 0.1, -9.0]
    found, _, _ = contrast_of(weights, text)
    each = features.WORD_SHARE / np.sqrt(3)  # two words and a pair, alike
    assert (found.best, found.second) == ("emc", "power")
    assert found.bias == pytest.approx(0.4)
    by_name = {(term.kind, term.text): term.contribution for term in found.terms}
    assert by_name["word", "buck"] == pytest.approx(each / 0.5)
    assert by_name["pair", "buck esp32"] == pytest.approx(-0.5 * each / 0.5)
    assert by_name["cue", "mcu"] == pytest.approx(2 * features.CUE_VALUE / 0.5)
    assert [term.text for term in found.pros] == ["mcu", "buck"]
    assert [term.text for term in found.cons] == ["buck esp32"]


def test_letters_count_for_the_word_that_they_stand_in() -> None:
    weights = blank()
    text = "buck -> driver"
    letters = features.extract("driver").letters
    weights.matrix[letters, 0] = 1.0
    found, _, _ = contrast_of(weights, text)
    parts = {term.text: term.contribution for term in found.terms}
    assert parts["driver"] == pytest.approx(found.difference)
    assert parts["buck"] == parts["->"] == pytest.approx(0.0)


def test_repeats_of_a_word_are_one_term_with_all_its_places() -> None:
    weights = blank()
    weights.matrix[features.extract("étage").words, 0] = 1.0
    found, _, _ = contrast_of(weights, "Étage, étage puis ÉTAGE")
    (term,) = found.words()
    assert term.text == "étage"
    assert len(term.spans) == 3
    assert term.contribution == pytest.approx(found.difference)


def test_one_class_alone_has_no_contrast() -> None:
    weights = replace(blank(), labels=("general",), matrix=np.zeros((features.WIDTH, 1)))
    reading = Reading(np.zeros(1, np.float32), 0.0, 1.0, 1.0, 1.0)
    assert contrast(weights, "buck", reading) is None
