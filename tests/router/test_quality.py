"""The shipped router on held-out prompts: the targets, and no fall since the last record.

The record is written by ``ailiance router eval --record``; speed is judged there, not here.
"""

import json
from pathlib import Path

import pytest

from router import Router
from router.judging import conversations, measure, typos
from router.judging.quality import Quality
from router.learning.exemplars import Exemplar, read_folder

DATA = Path(__file__).parent / "data"
RECORD = json.loads((DATA / "record.json").read_text())
FALL = 0.01


@pytest.fixture(scope="module")
def router() -> Router:
    return Router.load()


@pytest.fixture(scope="module")
def prompts() -> list[Exemplar]:
    return read_folder(DATA / "test")


@pytest.fixture(scope="module")
def quality(router: Router, prompts: list[Exemplar]) -> Quality:
    return measure(router, prompts)


def test_macro_f1_is_reached_and_has_not_fallen(quality: Quality) -> None:
    assert quality.macro_f1 >= 0.93
    assert quality.macro_f1 >= RECORD["macro_f1"] - FALL


def test_language_is_not_a_domain(quality: Quality) -> None:
    assert quality.language_gap <= 0.03


def test_out_of_domain_is_told_apart(quality: Quality) -> None:
    assert quality.scope.recall_at_coverage >= 0.85
    assert quality.scope.recall >= RECORD["out_of_domain_recall"] - 0.03


def test_probabilities_are_calibrated(quality: Quality) -> None:
    assert quality.calibration_error <= 0.05


def test_typos_cost_little(router: Router, prompts: list[Exemplar]) -> None:
    assert typos(router, prompts, 1).cost <= 0.04


def test_conversations_are_followed(router: Router) -> None:
    replayed = conversations(router, DATA / "conversations" / "test.yaml")
    assert replayed.turn_accuracy >= RECORD["turn_accuracy"] - 0.03
    assert replayed.bounces <= RECORD["bounces"] + 3
