"""Latency: sizes, quantiles from clocks that tick by themselves, no text twice."""

import pytest

from router.judging import latency
from router.judging.speed import LOADS, Load
from router.learning.exemplars import Exemplar
from tests.router.judging.fakes import FakeRouter, ticking

PROMPTS = [Exemplar("why does my buck converter ring at light load", "power")]


def test_loads_are_those_of_the_targets() -> None:
    sizes = [(load.tokens, load.turns, load.calls) for load in LOADS]
    assert sizes == [(64, 1, 2000), (2000, 1, 400), (64, 8, 400)]


def test_quantiles_of_both_clocks() -> None:
    loads = [Load("small", 14, 1, 101)]
    cpu = ticking(*[step for n in range(101) for step in (1.0, n / 1000)])
    wall = ticking(1.0, 0.5)
    (found,) = latency(FakeRouter("a", {}), PROMPTS, loads, cpu, wall)
    assert found.load == loads[0]
    assert (found.cpu_p50_ms, found.cpu_p99_ms) == pytest.approx((50.0, 99.0))
    assert (found.wall_p50_ms, found.wall_p99_ms) == pytest.approx((500.0, 500.0))


def test_texts_are_new_and_of_the_size_asked_for() -> None:
    router = FakeRouter("a", {})
    latency(router, PROMPTS, [Load("one", 64, 1, 20), Load("talk", 64, 8, 5)])
    texts = [text for turns in router.asked for text in turns]
    assert [len(turns) for turns in router.asked] == [1] * 20 + [8] * 5
    assert {len(text.split()) for text in texts} == {46}
    assert len(set(texts)) == len(texts) == 60
