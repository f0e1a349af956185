"""Picks up a new router head, and new routing in the fleet file, while requests run.

What is reloaded: the router's weights; domains, aliases, status and domain of the adapters.
Bases and what adapters load are served by workers: a change of those is refused whole, with
a line that says so, until a restart.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import FleetError
from fleet.load import load_fleet
from fleet.schema import Fleet
from gateway.routers import load_router, unrouted_warnings
from gateway.service import Gateway
from router.errors import RouterError
from router.files import weights_path

log = logging.getLogger("gateway.reload")

POLL_S = 1.0

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the files looked like; a file that changed looks different."""

    fleet: Stamp
    router: tuple[Path, Stamp, str | None]
    """Weights, what they look like, and where their encoder is."""


async def watch(gateway: Gateway, config: Path, used: Stamps, poll_s: float = POLL_S) -> None:
    """Poll until cancelled; a file is read once it has not changed for a whole poll.

    ``used`` are the stamps from before the files were read at start.
    """
    seen = used
    while True:
        await asyncio.sleep(poll_s)
        now = stamps_of(config, gateway.fleet)
        if now == seen and now != used:
            try:
                now = await _reload(gateway, config, used, now)
            except Exception as error:
                # whatever it was: watching must not end with it
                log.exception("files not taken: %s", type(error).__name__)
            used = now
        seen = now


async def _reload(gateway: Gateway, config: Path, used: Stamps, now: Stamps) -> Stamps:
    """Take what changed; the stamps from before each file was read."""
    if now.fleet != used.fleet:
        await _reload_fleet(gateway, config)
    # a new fleet file may name other weights
    router = stamps_of(config, gateway.fleet).router
    if router != used.router:
        await _reload_router(gateway)
    for line in unrouted_warnings(gateway.fleet, gateway.router.domains):
        log.warning(line)
    return Stamps(now.fleet, router)


def stamps_of(config: Path, fleet: Fleet) -> Stamps:
    """What the files look like now."""
    weights = weights_path(fleet)
    return Stamps(_stamp(config), (weights, _stamp(weights), fleet.encoder_source))


def refusal(served: Fleet, wanted: Fleet) -> str | None:
    """Why ``wanted`` can't replace ``served`` without a restart; None when it can. Pure."""

    def loaded(fleet: Fleet) -> dict[str, tuple[str, str]]:
        return {name: (adapter.base, adapter.source) for name, adapter in fleet.adapters.items()}

    parts: list[tuple[str, Callable[[Fleet], object]]] = [
        ("bases", lambda fleet: fleet.bases),
        ("adapters", loaded),
        ("prefix", lambda fleet: fleet.prefix),
    ]
    changed = [name for name, part in parts if part(served) != part(wanted)]
    return f"{' and '.join(changed)} changed" if changed else None


async def _reload_fleet(gateway: Gateway, config: Path) -> None:
    try:
        wanted = await asyncio.to_thread(load_fleet, config)
    except FleetError as error:
        log.warning("fleet file not taken: %s", error)
        return
    reason = refusal(gateway.fleet, wanted)
    if reason is not None:
        log.warning("fleet file not taken: %s; restart to serve it", reason)
        return
    gateway.use_fleet(wanted)
    log.info("fleet file taken: %d domains, %d aliases", len(wanted.domains), len(wanted.aliases))


async def _reload_router(gateway: Gateway) -> None:
    try:
        made = await asyncio.to_thread(load_router, gateway.fleet)
    except RouterError as error:
        log.warning("router weights not taken: %s", error)
        return
    gateway.use_router(made)
    log.info("router weights taken: %s, domains %s", made.digest[:12], ", ".join(made.domains))


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
