"""The life of one supervised worker as states and events. Pure: time comes in as argument.

    starting --healthy--> ready --exit--> restarting --healthy--> ready
        |
        +---exit 78---> failed                         any other exit -> restarting

``stopped`` is entered from anywhere at shutdown and never left.
"""

from dataclasses import dataclass, replace
from typing import Literal

Phase = Literal["starting", "ready", "restarting", "failed", "stopped"]

EXIT_CONFIG = 78  # sysexits.h EX_CONFIG: starting again would fail again
BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 5.0
STEADY_S = 30.0  # healthy for this long, the backoff starts over
GUESSED_START_S = 5.0  # until a start has been measured


@dataclass(frozen=True, slots=True)
class WorkerState:
    """``*_at_s`` are readings of one monotonic clock."""

    phase: Phase = "starting"
    spawned_at_s: float = 0.0
    ready_at_s: float = 0.0
    was_ready: bool = False
    restart_at_s: float = 0.0
    exits_in_row: int = 0
    start_s: float = GUESSED_START_S
    exit_code: int | None = None


def on_spawn(state: WorkerState, now_s: float) -> WorkerState:
    return replace(state, spawned_at_s=now_s, restart_at_s=now_s)


def on_healthy(state: WorkerState, now_s: float) -> WorkerState:
    if state.phase not in ("starting", "restarting"):
        return state
    start_s = now_s - state.spawned_at_s
    return replace(state, phase="ready", ready_at_s=now_s, was_ready=True, start_s=start_s)


def on_exit(state: WorkerState, code: int, now_s: float) -> WorkerState:
    """After a process ended: ``restarting`` with the time of the next spawn, or ``failed``."""
    if state.phase in ("failed", "stopped"):
        return state
    # one that was ready may come back: its files are being edited, perhaps
    if code == EXIT_CONFIG and not state.was_ready:
        return replace(state, phase="failed", exit_code=code)
    steady = state.phase == "ready" and now_s - state.ready_at_s >= STEADY_S
    exits = 0 if steady else state.exits_in_row
    # the exponent is capped, so that a worker dying for days does not make a huge number
    delay_s = min(BACKOFF_FIRST_S * 2 ** min(exits, 10), BACKOFF_MOST_S)
    return replace(
        state,
        phase="restarting",
        exits_in_row=exits + 1,
        restart_at_s=now_s + delay_s,
        exit_code=code,
    )


def on_stop(state: WorkerState) -> WorkerState:
    return replace(state, phase="stopped")


def retry_after_s(state: WorkerState, now_s: float) -> float | None:
    """How long until the worker should be ready, by the last measured start; None: never."""
    if state.phase in ("failed", "stopped"):
        return None
    if state.phase == "ready":
        return BACKOFF_FIRST_S
    return max(max(state.restart_at_s, state.spawned_at_s) + state.start_s - now_s, 0.5)
