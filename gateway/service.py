"""What the routes share: fleet, names, router, upstreams, metrics, open streams."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from time import time
from typing import Protocol

from fleet.names import Auto, Names
from fleet.schema import Fleet
from gateway.clock import now_s
from gateway.metrics import Metrics
from gateway.provenance import Asked
from gateway.relay import OpenStreams
from gateway.responses.store import Store
from gateway.routing import Judged, Route, find_target, plan_route
from gateway.upstream import Upstream
from gateway.worker_state import Phase
from router.decision import Decision, Topic
from router.talk.sessions import Sessions
from wire.errors import InvalidRequest
from wire.requests import ChatRequest, CompletionRequest, RouteRequest

Turn = tuple[str, str]
Parsed = ChatRequest | CompletionRequest

INLINE_CHARS = 1000  # a longer text is classified in a thread, not on the event loop


class Classifier(Protocol):
    """The router, as far as the gateway needs it. Pure and thread-safe."""

    @property
    def is_fast(self) -> bool:
        """A short text may be classified on the event loop."""
        ...

    @property
    def domains(self) -> tuple[str, ...]:
        """What it can choose."""
        ...

    @property
    def digest(self) -> str:
        """Of the weights that decide."""
        ...

    def classify(self, turns: Sequence[Turn], earlier: Topic | None = None) -> Decision: ...


@dataclass(frozen=True, slots=True)
class Classified:
    """A decision, with the router that made it and the session's topic that it had."""

    router: Classifier
    earlier: Topic | None
    decision: Decision


@dataclass(frozen=True, slots=True)
class Routed:
    """A route; ``by`` None: the name was explicit, nothing was classified."""

    route: Route
    by: Classified | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times a deployment may set."""

    body_bytes: int = 1 << 20
    ping_s: float = 15.0


@dataclass
class Gateway:
    """One per process. ``phases`` is written by the supervisors, read by /health."""

    fleet: Fleet
    router: Classifier
    upstreams: dict[str, Upstream]
    metrics: Metrics = field(default_factory=Metrics)
    limits: Limits = field(default_factory=Limits)
    phases: dict[str, Phase] = field(default_factory=dict[str, Phase])
    store: Store | None = None
    """Of responses; None: none are kept."""
    started_at: int = field(default_factory=lambda: int(time()))
    digests: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """(base, adapter) -> SHA-256 of the content, as its worker told; ``Administration`` writes."""

    def __post_init__(self) -> None:
        self.streams = OpenStreams(self.limits.ping_s)
        self.sessions = Sessions()
        self.use_fleet(self.fleet)

    def use_fleet(self, fleet: Fleet) -> None:
        """Route by ``fleet`` from now on; its bases and adapters must be those served."""
        self.fleet = fleet
        self.names = Names(fleet)
        self.known_names = frozenset(name for name, _ in self.names.items())

    async def route(self, parsed: Parsed, session: str | None) -> Routed:
        """The route of a request; the router reads it for automatic names only.

        ``session`` is what the client calls its conversation: its topic is inherited by a
        follow-up without one of its own, and remembered. Nothing changes for a dry run.
        """
        target = find_target(self.names, self.fleet, parsed.model, parsed.adapters)
        if not isinstance(target, Auto):
            parts = [part.id for part in parsed.lora or () if part.scale]
            return Routed(plan_route(target, None, self.judged(), parts))
        if parsed.lora is not None:
            raise InvalidRequest(
                f"'{parsed.model}' chooses adapters by itself, and lora composes them on a base "
                "that is named; name the base as the model",
                param="lora",
            )
        router = self.router
        earlier = None if session is None else self.sessions.topic(session, now_s())
        decision = await self._classify(router, turns_of(parsed), earlier)
        if session is not None and not isinstance(parsed, RouteRequest):
            self.sessions.keep(session, decision.topic, now_s())
        route = plan_route(target, decision, self.judged())
        return Routed(route, Classified(router, earlier, decision))

    def judged(self) -> Judged:
        """The fleet, and what its evidence is judged by now."""
        return Judged(self.fleet, date.today(), self.digests)

    def use_router(self, router: Classifier) -> None:
        """Classify with ``router`` from now on; requests under way keep the former one."""
        self.router = router

    def asked(self, route: Route) -> Asked:
        """What to send upstream: short names to our workers, the file's ids to any other."""
        base = self.fleet.bases[route.base]
        if base.engine == "mlx":
            return Asked(route, route.adapter or route.base)
        adapter = self.fleet.adapters[route.adapter] if route.adapter else None
        return Asked(route, adapter.source if adapter else base.model)

    async def aclose(self) -> None:
        for upstream in self.upstreams.values():
            await upstream.aclose()
        if self.store is not None:
            await self.store.aclose()

    async def _classify(
        self, router: Classifier, turns: Sequence[Turn], earlier: Topic | None
    ) -> Decision:
        start_s = now_s()
        if router.is_fast and sum(len(text) for _, text in turns) <= INLINE_CHARS:
            decision = router.classify(turns, earlier)
        else:
            decision = await asyncio.to_thread(router.classify, turns, earlier)
        self.metrics.classification.observe(now_s() - start_s)
        return decision


def turns_of(parsed: Parsed) -> list[Turn]:
    """What the router reads. A prompt of token ids has no text here: it abstains on that.

    What a tool answered is nobody's wording of a question, and is left out.
    """
    if isinstance(parsed, ChatRequest):
        return [(m.role, m.text()) for m in parsed.messages if m.role != "tool"]
    return [("user", "\n".join(p for p in parsed.prompts if isinstance(p, str)))]
