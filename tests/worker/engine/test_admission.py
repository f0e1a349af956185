"""How many requests are taken on, as tables."""

import pytest

from wire.errors import InvalidRequest, Overloaded
from worker.engine.admission import Load


def test_a_full_server_refuses_and_says_when_to_come_back() -> None:
    load = Load(pending=6, mean_service_s=4.0)
    with pytest.raises(Overloaded) as refused:
        load.admit(max_rows=2, max_queue=4)
    assert refused.value.status == 503
    assert refused.value.retry_after_s == pytest.approx(4.0 * 4 / 2)
    assert refused.value.headers()["retry-after"] == "8"


def test_room_is_rows_and_queue() -> None:
    load = Load()
    for _ in range(6):
        load = load.admit(max_rows=2, max_queue=4)
    assert load.pending == 6


def test_the_mean_follows_what_was_measured() -> None:
    load = Load(pending=1, mean_service_s=1.0).end(service_s=11.0)
    assert load == Load(pending=0, mean_service_s=2.0)


def test_one_that_did_not_run_to_its_end_leaves_the_mean() -> None:
    assert Load(pending=1, mean_service_s=3.0).end(None) == Load(0, 3.0)


def test_the_wait_is_never_nothing() -> None:
    assert Load(pending=0, mean_service_s=0.0).wait_s(8) == pytest.approx(0.1)


def test_several_are_taken_all_or_none() -> None:
    load = Load(pending=3)
    assert load.admit(max_rows=2, max_queue=4, count=3).pending == 6
    with pytest.raises(Overloaded):
        load.admit(max_rows=2, max_queue=4, count=4)


def test_more_than_there_ever_is_room_for_is_no_overload() -> None:
    """A client that was told to come back would do so for ever."""
    with pytest.raises(InvalidRequest, match="ask for fewer"):
        Load().admit(max_rows=2, max_queue=4, count=7)
