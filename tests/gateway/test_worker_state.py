"""The supervisor's state machine, by tables of events."""

import pytest

from gateway.worker_state import (
    WorkerState,
    on_exit,
    on_healthy,
    on_spawn,
    on_stop,
    retry_after_s,
)


def play(*events) -> WorkerState:
    state = WorkerState()
    for name, *arguments in events:
        step = {"spawn": on_spawn, "healthy": on_healthy, "exit": on_exit, "stop": on_stop}[name]
        state = step(state, *arguments)
    return state


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ([("spawn", 0.0)], "starting"),
        ([("spawn", 0.0), ("healthy", 2.0)], "ready"),
        ([("spawn", 0.0), ("exit", 1, 1.0)], "restarting"),
        ([("spawn", 0.0), ("exit", 78, 1.0)], "failed"),
        ([("spawn", 0.0), ("healthy", 2.0), ("exit", -9, 3.0)], "restarting"),
        ([("spawn", 0.0), ("healthy", 2.0), ("exit", 0, 3.0)], "restarting"),
        ([("spawn", 0.0), ("healthy", 2.0), ("exit", -9, 3.0), ("spawn", 4.0)], "restarting"),
        (
            [
                ("spawn", 0.0),
                ("healthy", 2.0),
                ("exit", -9, 3.0),
                ("spawn", 4.0),
                ("exit", 78, 5.0),
            ],
            "restarting",
        ),
        (
            [("spawn", 0.0), ("exit", 1, 1.0), ("spawn", 2.0), ("healthy", 3.0)],
            "ready",
        ),
        ([("spawn", 0.0), ("exit", 78, 1.0), ("healthy", 2.0)], "failed"),
        ([("spawn", 0.0), ("stop",), ("healthy", 2.0)], "stopped"),
        ([("spawn", 0.0), ("stop",), ("exit", -15, 2.0)], "stopped"),
    ],
)
def test_phases(events, phase):
    assert play(*events).phase == phase


def test_backoff_doubles_to_five_seconds():
    state, waits = WorkerState(), []
    for _ in range(7):
        state = on_exit(on_spawn(state, 0.0), 1, 0.0)
        waits.append(state.restart_at_s)
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_backoff_starts_over_after_thirty_healthy_seconds():
    ready = play(*[("spawn", 0.0), ("exit", 1, 0.0)] * 4, ("spawn", 0.0), ("healthy", 1.0))
    assert on_exit(ready, 1, 30.9).restart_at_s == pytest.approx(30.9 + 3.2)
    assert on_exit(ready, 1, 31.0).restart_at_s == pytest.approx(31.0 + 0.2)


def test_retry_after_is_the_measured_start_and_what_is_left_of_the_backoff():
    dead = play(("spawn", 0.0), ("healthy", 3.0), ("exit", -9, 10.0))
    assert retry_after_s(dead, 10.0) == pytest.approx(3.2)
    assert retry_after_s(on_spawn(dead, 10.2), 11.2) == pytest.approx(2.0)
    assert retry_after_s(on_spawn(dead, 10.2), 60.0) == 0.5
    assert retry_after_s(play(("spawn", 0.0), ("exit", 78, 1.0)), 2.0) is None
