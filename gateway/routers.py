"""Which router a fleet is served with: its own weights, else those that ship with ailiance."""

from pathlib import Path

from fleet.schema import Fleet
from router import DEFAULT_WEIGHTS, Router


def weights_path(fleet: Fleet) -> Path:
    """The fleet's ``router:`` file; else ``router.npz`` beside the fleet file; else ours."""
    own = fleet.own_router_weights
    return own if fleet.router.weights is not None or own.is_file() else DEFAULT_WEIGHTS


def load_router(fleet: Fleet) -> Router:
    """The router of a fleet; raises RouterError with the mend."""
    return Router.load(weights_path(fleet), fleet.encoder_source)


def unrouted(fleet: Fleet, router: Router) -> list[str]:
    """Domains that adapters name but the router can never choose, in file order."""
    named = {adapter.domain for adapter in fleet.adapters.values()}
    return [d for d in fleet.domains if d in named and d not in router.domains]
