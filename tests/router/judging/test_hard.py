"""Hard inputs: all asked, none twice, and the slowest of five counts."""

import pytest

from router.judging import HardInput, hard_inputs
from tests.router.judging.fakes import FakeRouter, ticking


@pytest.fixture(scope="module")
def router() -> FakeRouter:
    return FakeRouter("a", {})


@pytest.fixture(scope="module")
def found(router: FakeRouter) -> list[HardInput]:
    # ten readings of the clock for the five runs of an input: they take 1, 2, 3, 9, 1 ms
    return hard_inputs(router, ticking(1.0, 0.001, 1.0, 0.002, 1.0, 0.003, 1.0, 0.009, 1.0, 0.001))


def test_slowest_of_five(found: list[HardInput]) -> None:
    assert len(found) >= 12
    assert all(each.milliseconds == pytest.approx(9.0) for each in found)
    assert {each.reason for each in found} == {"out_of_domain"}
    assert len({each.name for each in found}) == len(found)


def test_no_text_twice_so_that_no_cache_helps(found: list[HardInput], router: FakeRouter) -> None:
    texts = [text for turns in router.asked for text in turns if text]
    assert len(texts) == len(set(texts))
    assert len(router.asked) == 1 + 5 * len(found)


def test_sizes(found: list[HardInput], router: FakeRouter) -> None:
    names = [each.name for each in found for _ in range(5)]
    for name, turns in zip(names, router.asked[1:], strict=True):
        assert len(turns) == (8 if name.startswith("8 turns") else 1)
        if "1 MB" in name:
            assert all(999_900 <= len(text) <= 1_000_010 for text in turns), name
