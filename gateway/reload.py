"""Picks up a new router head and an edited fleet file while requests run.

What is reloaded: the router's weights; adapters, domains, aliases. Each version of the file is
taken whole or not at all, with a line that says why. Bases are what workers were started with:
a change of those waits for a restart.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import FleetError
from fleet.load import load_fleet
from fleet.schema import Fleet
from gateway.admin.administration import Administration
from gateway.admin.applying import Waiting
from gateway.admin.plan import Change, Refused
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


async def watch(admin: Administration, config: Path, used: Stamps, poll_s: float = POLL_S) -> None:
    """Poll until cancelled; a file is read once it has not changed for a whole poll.

    ``used`` are the stamps from before the files were read at start.
    """
    reload, seen = _Reload(admin, config), used
    while True:
        await asyncio.sleep(poll_s)
        now = stamps_of(config, admin.gateway.fleet)
        if now == seen and now != used:
            try:
                now = await reload.take(used, now)
            except Exception as error:
                # whatever it was: watching must not end with it
                log.exception("files not taken: %s", type(error).__name__)
            used = now
        seen = now


def stamps_of(config: Path, fleet: Fleet) -> Stamps:
    """What the files look like now."""
    weights = weights_path(fleet)
    return Stamps(_stamp(config), (weights, _stamp(weights), fleet.encoder_source))


class _Reload:
    """Takes what changed, and remembers what it waits for, to say that once."""

    def __init__(self, admin: Administration, config: Path) -> None:
        self._admin = admin
        self._config = config
        self._waits_for = ""

    async def take(self, used: Stamps, now: Stamps) -> Stamps:
        """The stamps from before each file was read; the former ones of a file that waits."""
        gateway = self._admin.gateway
        taken = now.fleet
        if now.fleet != used.fleet and not await self._take_fleet():
            taken = used.fleet
        # a new fleet file may name other weights
        router = stamps_of(self._config, gateway.fleet).router
        if router != used.router:
            await _reload_router(gateway)
        if (taken, router) != (used.fleet, used.router):
            for line in unrouted_warnings(gateway.fleet, gateway.router.domains):
                log.warning(line)
        return Stamps(taken, router)

    async def _take_fleet(self) -> bool:
        """False: it waits for a worker, and is to be tried again."""
        try:
            wanted = await asyncio.to_thread(load_fleet, self._config)
        except FleetError as error:
            log.warning("fleet file not taken: %s", error)
            return True
        outcome = await self._admin.take_file(wanted)
        if isinstance(outcome, Waiting):
            if outcome.reason != self._waits_for:
                log.warning("fleet file waits: %s", outcome.reason)
            self._waits_for = outcome.reason
            return False
        self._waits_for = ""
        if isinstance(outcome, Refused):
            log.warning("fleet file not taken: %s", outcome.reason)
        else:
            log.info("fleet file taken: %s", _counts(wanted, outcome.changes))
        return True


def _counts(fleet: Fleet, changes: Iterable[Change]) -> str:
    done = Counter(type(change).__name__.lower() for change in changes)
    verbs = {"load": "loaded", "replace": "replaced", "unload": "unloaded"}
    adapters = [f"{done[verb]} adapters {past}" for verb, past in verbs.items() if done[verb]]
    return ", ".join([*adapters, f"{len(fleet.domains)} domains", f"{len(fleet.aliases)} aliases"])


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
