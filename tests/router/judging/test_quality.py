"""Six prompts whose figures are worked out by hand; see fakes.py for the table."""

import json
from dataclasses import replace
from math import isnan

import pytest

from router import Router
from router.judging import Classifies, Quality, measure
from router.judging.quality import Part
from tests.router.judging.fakes import FakeRouter, six_prompts, words


@pytest.fixture
def quality() -> Quality:
    return measure(*six_prompts())


def test_a_router_will_do() -> None:
    judged: type[Classifies] = Router
    assert judged is Router


def test_strict_and_second_labels(quality: Quality) -> None:
    assert quality.count == 6
    assert quality.accuracy == 3 / 6
    assert quality.macro_f1 == pytest.approx((2 / 5 + 2 / 3 + 1 / 2) / 3)
    assert quality.accuracy_second == 4 / 6
    assert quality.macro_f1_second == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    low, high = quality.macro_f1_interval
    assert low < quality.macro_f1 < high


def test_confusion_and_labels(quality: Quality) -> None:
    assert quality.names == ("a", "b", "general")
    assert quality.confusion == ((1, 1, 1), (0, 1, 0), (1, 0, 1))
    a, b, general = quality.labels
    assert (a.support, a.precision, a.recall) == (3, 1 / 2, 1 / 3)
    assert (b.support, b.precision, b.recall, b.f1) == (1, 1 / 2, 1.0, pytest.approx(2 / 3))
    assert (general.support, general.precision, general.recall, general.f1) == (2, 0.5, 0.5, 0.5)


def test_languages(quality: Quality) -> None:
    english, french = quality.languages
    assert (english.name, english.count, french.name, french.count) == ("en", 3, "fr", 3)
    assert (english.accuracy, english.macro_f1) == (2 / 3, pytest.approx(5 / 6))
    assert (french.accuracy, french.macro_f1) == (1 / 3, pytest.approx(1 / 3))
    assert quality.language_gap == pytest.approx(1 / 2)


def test_lengths(quality: Quality) -> None:
    expected = [("1-6 words", 1), ("7-20 words", 2), ("21-60 words", 2), ("over 60 words", 1)]
    assert [(part.name, part.count) for part in quality.lengths] == expected
    assert quality.lengths[2] == Part("21-60 words", 2, 1.0, 1.0)


def test_out_of_domain(quality: Quality) -> None:
    scope = quality.scope
    assert (scope.inside, scope.outside) == (4, 2)
    assert (scope.recall, scope.false_abstention, scope.wrong_domain) == (1 / 2, 1 / 4, 1 / 4)
    assert scope.recall_at_coverage == 1 / 2  # the line is 0.6
    assert scope.auroc == 7 / 8


def test_calibration_is_of_the_most_probable_class(quality: Quality) -> None:
    found = {each.low: each for each in quality.reliability if each.count}
    assert {low: each.count for low, each in found.items()} == {0.5: 2, 0.7: 2, 0.9: 2}
    assert {low: each.accuracy for low, each in found.items()} == {0.5: 0.5, 0.7: 0.5, 0.9: 1.0}
    assert quality.calibration_error == pytest.approx((0.05 + 0.25 + 0.05) / 3)


def test_reasons(quality: Quality) -> None:
    assert quality.reasons == {"classified": 4, "out_of_domain": 2}


def test_labels_that_the_router_lacks_and_domains_without_prompts() -> None:
    router, prompts = six_prompts()
    prompts = [replace(prompt, label="z") for prompt in prompts[:1]]
    quality = measure(FakeRouter("abc", router.table), prompts)
    assert quality.names == ("a", "b", "c", "z", "general")
    assert (quality.accuracy, quality.macro_f1) == (0.0, 0.0)
    assert isnan(quality.labels[2].f1)
    assert isnan(quality.scope.recall)
    assert isnan(quality.language_gap)


def test_no_prompts_and_json() -> None:
    router, prompts = six_prompts()
    for each in (measure(router, []), measure(router, prompts)):
        found = json.loads(json.dumps(each.as_dict(), allow_nan=False))
        assert found["count"] == each.count
    assert measure(router, []).as_dict()["accuracy"] is None


def test_each_prompt_is_asked_alone() -> None:
    router, prompts = six_prompts()
    measure(router, prompts)
    assert router.asked == [[prompt.text] for prompt in prompts]
    assert router.asked[0] == [words("p0", 6)]
