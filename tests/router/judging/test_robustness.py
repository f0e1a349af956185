"""What typos cost."""

import pytest

from router.judging import typos
from router.judging.robustness import Typos
from router.learning.exemplars import Exemplar
from tests.router.judging.fakes import FakeRouter, decision


def test_cost() -> None:
    sure = decision("a", {"a": 1.0, "general": 0.0}, 0.0)
    router = FakeRouter("a", {"gate driver": sure, "emi": sure})
    prompts = [Exemplar("gate driver", "a"), Exemplar("emi", "a")]
    found = typos(router, prompts, 1)
    assert found == Typos(1.0, 1.0, 0.5, pytest.approx(2 / 3))
    assert found.cost == 0.5
