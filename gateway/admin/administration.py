"""Adapters of a running gateway: one change at a time, on the worker first, then in the fleet.

Only downloads come before a change's turn: they change nothing, and may take long.
A name is served once its worker has proved the adapter, and is gone before its worker unloads it.
The fleet file is the truth of what it names; what clients load stands beside it (``runtime``).
Refuses to know HTTP of clients, and to read the fleet file.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from fleet.errors import SourceError
from fleet.schema import Fleet, is_hub_id
from gateway.admin import workers
from gateway.admin.admission import admit, checked_source, outside, refused
from gateway.admin.applying import Waiting, fetch_all, keep_digest, load_all, unload_all
from gateway.admin.kept import Kept
from gateway.admin.plan import Change, Refused, Unload, loading, plan_changes
from gateway.admin.requests import MISSING, LoadAdapterRequest
from gateway.admin.runtime import Merged, RuntimeAdapter, merge
from gateway.service import Gateway
from gateway.upstream import Upstream
from wire.errors import AilianceError, NotFound, WorkerUnavailable

log = logging.getLogger("gateway.admin")

GRACE_S = 0.5  # requests that were routed to a name reach its worker before it is unloaded
MOST_DEATHS = 2


@dataclass(frozen=True, slots=True)
class Applied:
    """A fleet is served; what that took on the workers."""

    changes: tuple[Change, ...]


class Administration:
    """One per gateway, made while that serves the fleet of the file; on the event loop."""

    def __init__(
        self, gateway: Gateway, kept: Kept | None = None, grace_s: float = GRACE_S
    ) -> None:
        self.gateway = gateway
        self._kept = kept
        self._grace_s = grace_s
        self._file = gateway.fleet
        self._loaded = {each.name: each for each in (kept.read() if kept else [])}
        self._problems: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()  # of workers, while an adapter was loaded again
        self._said: dict[str, str] = {}
        self._one_at_a_time = asyncio.Lock()
        self._drop_named_by(self._file)
        self._use(self._merged())

    @property
    def loaded(self) -> Mapping[str, RuntimeAdapter]:
        """What clients loaded, in order; served or not."""
        return self._loaded

    @property
    def left_out(self) -> Mapping[str, str]:
        """Which of it is not served, and why."""
        return self._merged().left_out

    async def load(self, asked: LoadAdapterRequest) -> str:
        """What vLLM answers. Raises InvalidRequest, the worker's refusal, WorkerUnavailable."""
        entry = await self._admitted(asked)
        if is_hub_id(entry.source):
            await workers.fetch(self.gateway.upstreams[entry.base], entry.name, entry.source)
        async with self._one_at_a_time:
            # again: others may have changed what it was admitted to
            entry = await self._admitted(asked)
            upstream = self.gateway.upstreams[entry.base]
            told = await workers.load(upstream, entry.name, entry.source)
            keep_digest(self.gateway.digests, (entry.base, entry.name), told)
            if entry.name not in self._file.adapters:
                self._loaded[entry.name] = entry
                self._forget_faults(entry.name)
                self._use(self._merged())
                await self._keep()
        log.info("adapter %s loaded on base %s", entry.name, entry.base)
        return f"Success: LoRA adapter '{entry.name}' added successfully."

    async def unload(self, name: str) -> str:
        """What vLLM answers. Raises NotFound, and InvalidRequest for an adapter of the file."""
        async with self._one_at_a_time:
            if name in self._file.adapters:
                raise refused(
                    f"adapter '{name}' is in the fleet file; remove it there, and it is unloaded "
                    "within seconds"
                )
            entry = self._loaded.pop(name, None)
            if entry is None:
                raise NotFound(
                    f"The lora adapter '{name}' cannot be found.", param="lora_name", code=MISSING
                )
            was_served = name in self.gateway.fleet.adapters
            self._forget_faults(name)
            self._use(self._merged())
            await self._keep()
            await self._unload([Unload(entry.base, name)] if was_served else [])
        log.info("adapter %s unloaded from base %s", name, entry.base)
        return f"Success: LoRA adapter '{name}' removed successfully."

    async def take_file(self, wanted: Fleet) -> Applied | Refused | Waiting:
        """Serve an edited fleet file: all of it, or nothing of it and the reason."""
        upstreams = self.gateway.upstreams
        planned = self._plan(wanted)
        if not isinstance(planned, list):
            return planned
        if (fault := await fetch_all(upstreams, planned)) is not None:
            return fault
        async with self._one_at_a_time:
            # again: others may have changed what it was planned for
            planned = self._plan(wanted)
            if not isinstance(planned, list):
                return planned
            fault = await asyncio.to_thread(outside, planned, wanted.roots)
            fault = fault or await load_all(upstreams, planned, self.gateway.digests)
            if fault is not None:
                return fault
            self._file = wanted
            if self._beside(wanted) != self._loaded:
                self._drop_named_by(wanted)
                await self._keep()
            # again: a worker that started meanwhile may have told of problems
            self._use(self._merged())
            await self._unload(planned)
            return Applied(tuple(planned))

    def _plan(self, wanted: Fleet) -> list[Change] | Refused | Waiting:
        merged = merge(wanted, self._beside(wanted).values(), self._problems)
        planned = plan_changes(self.gateway.fleet, merged.fleet)
        if isinstance(planned, Refused):
            return planned
        for base in loading(planned):
            phase = self.gateway.phases.get(base, "ready")
            if phase != "ready":
                return Waiting(f"the worker of base '{base}' is {phase}")
        return planned

    def _beside(self, file: Fleet) -> dict[str, RuntimeAdapter]:
        """What clients loaded, and a fleet file does not name."""
        return {name: e for name, e in self._loaded.items() if name not in file.adapters}

    async def restore(self, base: str, upstream: Upstream) -> None:
        """Load a worker's run-time adapters again, in order, before it is called ready.

        What it has of the file by now is known afterwards. Raises WorkerUnavailable where the
        worker goes meanwhile; another start begins anew.
        """
        digests = self.gateway.digests
        for key in [key for key in digests if key[0] == base]:
            del digests[key]
        found = await workers.digests(upstream)
        digests.update({(base, name): digest for name, digest in found.items()})
        for entry in [each for each in self._loaded.values() if each.base == base]:
            if self._deaths[entry.name] >= MOST_DEATHS:
                self._problems[entry.name] = (
                    f"{MOST_DEATHS} workers ended while it was loaded again; unload it, or load it "
                    "in place"
                )
            else:
                await self._load_again(entry, upstream)
        self._use(self._merged())

    async def _load_again(self, entry: RuntimeAdapter, upstream: Upstream) -> None:
        name = entry.name
        self._deaths[name] += 1  # until it has answered
        try:
            told = await workers.load(upstream, name, await self._checked(entry.source))
            keep_digest(self.gateway.digests, (entry.base, name), told)
        except WorkerUnavailable:
            raise
        except (AilianceError, SourceError) as error:
            self._problems[name] = f"it can't be loaded again: {error}"
        else:
            self._problems.pop(name, None)
        self._deaths[name] = 0
        if self._loaded.get(name) != entry:
            await workers.unload(upstream, name)

    async def _admitted(self, asked: LoadAdapterRequest) -> RuntimeAdapter:
        try:
            source = await self._checked(asked.lora_path)
        except SourceError as error:
            raise refused(f"lora_path: {error.message}", "lora_path") from None
        return admit(asked, source, self._file, self._loaded)

    async def _checked(self, path: str) -> str:
        return await asyncio.to_thread(checked_source, path, self._file.roots)

    async def _unload(self, planned: list[Change] | list[Unload]) -> None:
        if any(isinstance(change, Unload) for change in planned):
            await asyncio.sleep(self._grace_s)
            await unload_all(self.gateway.upstreams, planned, self.gateway.digests)

    def _merged(self) -> Merged:
        return merge(self._file, self._loaded.values(), self._problems)

    def _use(self, merged: Merged) -> None:
        said = merged.left_out | merged.unrouted
        for name, reason in said.items():
            if self._said.get(name) != reason:
                what = "is not served" if name in merged.left_out else "is reached by name only"
                log.warning("run-time adapter %s %s: %s", name, what, reason)
        self._said = said
        self.gateway.use_fleet(merged.fleet)

    def _forget_faults(self, name: str) -> None:
        self._problems.pop(name, None)
        self._deaths.pop(name, None)

    def _drop_named_by(self, file: Fleet) -> None:
        for name in [name for name in self._loaded if name in file.adapters]:
            log.warning("run-time adapter %s: the fleet file names one so; that is served", name)
            del self._loaded[name]

    async def _keep(self) -> None:
        if self._kept is not None:
            await asyncio.to_thread(self._kept.write, list(self._loaded.values()))
