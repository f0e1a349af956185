"""Carries changes out on the workers: loads all or none of them, unloads what nobody asks for.

Decides nothing: what to do is ``plan``'s.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.admin import workers
from gateway.admin.plan import Change, Load, Refused, Replace, Unload, undo
from gateway.upstream import Upstream
from wire.errors import AilianceError, WorkerUnavailable

log = logging.getLogger("gateway.admin")

Upstreams = Mapping[str, Upstream]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing was changed; to be tried again once a worker is ready."""

    reason: str


async def load_all(upstreams: Upstreams, planned: Iterable[Change]) -> Refused | Waiting | None:
    """The loads and replacements; where one fails, those before it are undone."""
    done: list[Load | Replace] = []
    for change in planned:
        if isinstance(change, Unload):
            continue
        try:
            await _do(upstreams, change)
        except AilianceError as error:
            await _undo_all(upstreams, done)
            if isinstance(error, WorkerUnavailable):
                return Waiting(error.message)
            return Refused(f"adapter '{change.name}': {error.message}")
        done.append(change)
    return None


async def unload_all(upstreams: Upstreams, planned: Iterable[Change]) -> None:
    """Of names that are gone already: what a worker keeps then costs memory only."""
    for change in planned:
        if not isinstance(change, Unload):
            continue
        try:
            await _do(upstreams, change)
        except AilianceError as error:
            log.warning("adapter %s stays on its worker: %s", change.name, error)


async def _undo_all(upstreams: Upstreams, done: list[Load | Replace]) -> None:
    for change in reversed(done):
        try:
            await _do(upstreams, undo(change))
        except AilianceError as error:
            log.error("adapter %s is not as before on its worker: %s", change.name, error)


async def _do(upstreams: Upstreams, change: Change) -> None:
    upstream = upstreams[change.base]
    if isinstance(change, Unload):
        await workers.unload(upstream, change.name)
    else:
        await workers.load(upstream, change.name, change.source)
