"""How many requests are taken on, as tables."""

import pytest

from wire.errors import Overloaded
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
