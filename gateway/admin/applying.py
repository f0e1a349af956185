"""Carries changes out on the workers: loads all or none of them, unloads what nobody asks for.

Decides nothing: what to do is ``plan``'s.
"""

import logging
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass

from fleet.schema import is_hub_id
from gateway.admin import workers
from gateway.admin.plan import Change, Load, Refused, Replace, Unload, undo
from gateway.upstream import Upstream
from wire.errors import AilianceError, WorkerUnavailable

log = logging.getLogger("gateway.admin")

Upstreams = Mapping[str, Upstream]
Digests = MutableMapping[tuple[str, str], str]
"""(base, adapter) -> digest of what is served, as its worker told."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing was changed; to be tried again once a worker is ready."""

    reason: str


async def fetch_all(upstreams: Upstreams, planned: Iterable[Change]) -> Refused | Waiting | None:
    """Downloads of what is to be loaded from the hub. Nothing is changed by it."""
    for change in planned:
        if isinstance(change, Unload) or not is_hub_id(change.source):
            continue
        try:
            await workers.fetch(upstreams[change.base], change.name, change.source)
        except AilianceError as error:
            return _fault(change, error)
    return None


async def load_all(
    upstreams: Upstreams, planned: Iterable[Change], digests: Digests
) -> Refused | Waiting | None:
    """The loads and replacements; where one fails, those before it are undone.

    ``digests`` holds afterwards what workers told of what they have now.
    """
    done: list[Load | Replace] = []
    for change in planned:
        if isinstance(change, Unload):
            continue
        try:
            await _do(upstreams, change, digests)
        except AilianceError as error:
            await _undo_all(upstreams, done, digests)
            return _fault(change, error)
        done.append(change)
    return None


async def unload_all(upstreams: Upstreams, planned: Iterable[Change], digests: Digests) -> None:
    """Of names that are gone already: what a worker keeps then costs memory only."""
    for change in planned:
        if not isinstance(change, Unload):
            continue
        try:
            await _do(upstreams, change, digests)
        except AilianceError as error:
            log.warning("adapter %s stays on its worker: %s", change.name, error)


async def _undo_all(upstreams: Upstreams, done: list[Load | Replace], digests: Digests) -> None:
    for change in reversed(done):
        try:
            await _do(upstreams, undo(change), digests)
        except AilianceError as error:
            log.error("adapter %s is not as before on its worker: %s", change.name, error)


def _fault(change: Load | Replace, error: AilianceError) -> Refused | Waiting:
    if isinstance(error, WorkerUnavailable):
        return Waiting(error.message)
    return Refused(f"adapter '{change.name}': {error.message}")


async def _do(upstreams: Upstreams, change: Change, digests: Digests) -> None:
    upstream, key = upstreams[change.base], (change.base, change.name)
    if isinstance(change, Unload):
        await workers.unload(upstream, change.name)
        digests.pop(key, None)
    else:
        told = await workers.load(upstream, change.name, change.source, pinned=change.pinned)
        keep_digest(digests, key, told)


def keep_digest(digests: Digests, key: tuple[str, str], told: str | None) -> None:
    """What was loaded is this; None: its worker did not say, and what it was no longer holds."""
    if told is None:
        digests.pop(key, None)
    else:
        digests[key] = told
