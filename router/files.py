"""Which weights a fleet is routed with: its own, else those that ship with ailiance."""

from pathlib import Path

from fleet.schema import Fleet
from router import DEFAULT_WEIGHTS


def weights_path(fleet: Fleet) -> Path:
    """The fleet's ``router:`` file; else ``router.npz`` beside the fleet file; else ours."""
    own = fleet.own_router_weights
    return own if fleet.router.weights is not None or own.is_file() else DEFAULT_WEIGHTS
