"""What a measurement leaves in the fleet file."""

from datetime import date

import pytest

from gateway.evaluate.asking import Pair, Subject
from gateway.evaluate.figures import Outcome, figures_of
from gateway.evaluate.measure import Measured
from gateway.evaluate.show import results

PAIR = Pair(Subject("ai-one", False), Subject("ai-one-law", True), "law")
FIGURES = figures_of([Outcome(False, -9.0, 3)], [Outcome(True, -0.1, 3)])
SHA = "5" * 64


@pytest.mark.parametrize(
    ("told", "kept"), [(SHA, SHA), (None, None), ("sha256:" + SHA, None), ("v1", None)]
)
def test_results_hold_for_the_version_that_was_measured(told, kept):
    measured = Measured(PAIR, "b" * 64, told, FIGURES)
    found = results(measured, "law", "law.jsonl", date(2026, 11, 20))
    assert [each.benchmark for each in found] == ["law", "law_perplexity"]
    assert [each.digest for each in found] == [kept, kept]
