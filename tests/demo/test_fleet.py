"""What the embedded fleet must show: answers with its adapters, none without, and the matrix.

Twenty-four questions a domain in `make test`, all of them under the marker `slow`.
"""

import pytest

from demo import root
from demo.evaluate import Score, perplexity_matrix, score
from demo.fleet_plan import ADAPTERS, BASES
from demo.fused import FusedBase

SAMPLE = 24
MATRIX_SAMPLE = 6
DOMAINS = [plan.domain for plan in ADAPTERS]


def _scores(sample: int | None) -> dict[str, Score]:
    bases = {name: FusedBase(root() / "models" / name) for name in BASES}
    return {
        plan.domain: score(bases[plan.base], plan, root() / "adapters", sample) for plan in ADAPTERS
    }


def _check(scores: dict[str, Score]) -> None:
    """Compare all domains before failing, so that one run shows every weak one."""
    weak = {
        domain: found
        for domain, found in scores.items()
        if found.trained < 0.9 or found.held_out < 0.6 or found.bare >= 0.2
    }
    assert not weak


def test_adapters_answer_and_bare_bases_do_not() -> None:
    _check(_scores(SAMPLE))


@pytest.mark.slow
def test_adapters_answer_all_questions_and_bare_bases_do_not() -> None:
    _check(_scores(None))


@pytest.mark.parametrize("sample", [MATRIX_SAMPLE, pytest.param(40, marks=pytest.mark.slow)])
def test_each_domain_is_least_perplexing_to_its_own_adapter(sample: int | None) -> None:
    matrix = perplexity_matrix(root() / "models", root() / "adapters", sample)
    best = {row: min(DOMAINS, key=lambda column: matrix[row, column]) for row in DOMAINS}
    assert best == {domain: domain for domain in DOMAINS}
