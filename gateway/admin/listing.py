"""What ``GET /v1/adapters`` tells of each adapter: the fleet's part and the worker's.

What is resident is what workers say now, never what the gateway asked them for.
"""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any

from fleet.evidence.judge import unmet
from fleet.schema import Adapter, Fleet
from gateway.admin import workers
from gateway.admin.administration import Administration
from gateway.cards.facts import results_of
from gateway.upstream import Upstream
from wire.errors import InvalidRequest, UpstreamError, http_status

WORKERS_OWN = (
    *("format", "rank", "targets", "layers", "bytes", "digest", "effect", "tier", "pinned"),
    "check",
)

ALL = "all"
Facts = dict[str, Any]
Told = Mapping[str, Mapping[str, Facts] | None]
"""Base -> what its worker lists; None: it did not say."""


async def check(admin: Administration, asked: str) -> None:
    """Have an adapter, or ``ALL``, measured by its worker, unless it was already.

    Raises InvalidRequest for a name that no worker of ours has, and the worker's own errors. Of
    ``ALL``, those that their workers lack are left out.
    """
    gateway = admin.gateway
    names: dict[str, list[str]] = {}
    for name, adapter in gateway.fleet.adapters.items():
        ours = gateway.fleet.bases[adapter.base].engine == "mlx"
        if ours and adapter.base in gateway.upstreams and asked in (ALL, name):
            names.setdefault(adapter.base, []).append(name)
    missing = await asyncio.gather(
        *(_check_each(gateway.upstreams[b], some) for b, some in names.items())
    )
    if asked != ALL and (not names or any(missing)):
        raise InvalidRequest(
            f"'{asked[:64]}' is no adapter that a worker here has; ask for one that GET "
            f"/v1/adapters lists as loaded, or for '{ALL}'",
            param="check",
        )


async def _check_each(upstream: Upstream, names: list[str]) -> list[str]:
    """Those that the worker has not. One after another: each has its own time limit."""
    missing: list[str] = []
    for name in names:
        try:
            await workers.check(upstream, name)
        except UpstreamError as error:
            if http_status(error) != 404:
                raise
            missing.append(name)
    return missing


async def adapters(admin: Administration) -> list[Facts]:
    """Every adapter of the fleet, then run-time adapters that are not served."""
    gateway = admin.gateway
    ours = [name for name, base in gateway.fleet.bases.items() if base.engine == "mlx"]
    asked = await asyncio.gather(
        *(workers.listed(gateway.upstreams[b]) for b in ours if b in gateway.upstreams)
    )
    told = dict(zip((b for b in ours if b in gateway.upstreams), asked, strict=True))
    fleet, today = gateway.fleet, date.today()
    served = [
        _one(fleet, name, adapter, told, admin, today) for name, adapter in fleet.adapters.items()
    ]
    return served + [_left_out(admin, name, why) for name, why in admin.left_out.items()]


def _one(
    fleet: Fleet, name: str, adapter: Adapter, told: Told, admin: Administration, today: date
) -> Facts:
    facts, state = _worker(fleet, name, adapter, told)
    digest = _digest(facts) or admin.gateway.digests.get((adapter.base, name))
    lacks = unmet(fleet, adapter, today, digest)
    return {
        "name": name,
        "object": "adapter",
        "model": admin.gateway.names.public(adapter.base, name),
        "base": adapter.base,
        "source": adapter.source,
        "origin": "runtime" if name in admin.loaded else "file",
        "domain": adapter.domain,
        "status": adapter.status,
        "reason": adapter.reason,
        "evidence": None if lacks is None else {"rule": lacks.rule, "found": lacks.found},
        "evaluation": results_of(adapter, digest),
        "state": state,
    } | {key: facts.get(key) for key in WORKERS_OWN}


def _digest(facts: Facts) -> str | None:
    told = facts.get("digest")
    return told if isinstance(told, str) else None


def _worker(fleet: Fleet, name: str, adapter: Adapter, told: Told) -> tuple[Facts, str]:
    """What the worker says of it, and what that means."""
    if fleet.bases[adapter.base].engine != "mlx":
        return {}, "external"
    listed = told.get(adapter.base)
    if listed is None:
        return {}, "unknown"
    return (dict(listed[name]), "loaded") if name in listed else ({}, "missing")


def _left_out(admin: Administration, name: str, why: str) -> Facts:
    entry = admin.loaded[name]
    facts: Facts = {
        "name": name,
        "object": "adapter",
        "model": None,
        "base": entry.base,
        "source": entry.source,
        "origin": "runtime",
        "domain": entry.domain,
        "status": "unavailable",
        "reason": why,
        "evidence": None,
        "evaluation": [],
        "state": "missing",
    }
    return facts | dict.fromkeys(WORKERS_OWN)
