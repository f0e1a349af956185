"""The router of a fleet, and what to say of domains that it does not know."""

from collections.abc import Sequence

from fleet.schema import Fleet
from router import Router
from router.files import weights_path


def load_router(fleet: Fleet) -> Router:
    """The router of a fleet; raises RouterError with the mend."""
    return Router.load(weights_path(fleet), fleet.encoder_source)


def unrouted(fleet: Fleet, known: Sequence[str]) -> list[str]:
    """Domains that adapters name but the router can never choose, in file order."""
    named = {adapter.domain for adapter in fleet.adapters.values()}
    return [d for d in fleet.domains if d in named and d not in known]


def unrouted_warnings(fleet: Fleet, known: Sequence[str]) -> list[str]:
    """One line for each of those domains."""
    return [
        f"the router's weights do not know domain '{domain}': the automatic names never choose "
        "its adapters until 'ailiance router fit'"
        for domain in unrouted(fleet, known)
    ]
