"""What the routes share: fleet, names, router, upstreams, metrics, open streams."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time
from typing import Protocol

from fleet.names import Auto, Names
from fleet.schema import Fleet
from gateway.clock import now_s
from gateway.metrics import Metrics
from gateway.provenance import Asked
from gateway.relay import OpenStreams
from gateway.routing import Route, find_target, plan_route
from gateway.upstream import Upstream
from gateway.worker_state import Phase
from router.decision import Decision
from wire.requests import ChatRequest, CompletionRequest

Turn = tuple[str, str]
Parsed = ChatRequest | CompletionRequest

INLINE_CHARS = 1000  # a longer text is classified in a thread, not on the event loop


class Classifier(Protocol):
    """The router, as far as the gateway needs it. Pure and thread-safe."""

    def classify(self, turns: Sequence[Turn]) -> Decision: ...


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
    started_at: int = field(default_factory=lambda: int(time()))

    def __post_init__(self) -> None:
        self.names = Names(self.fleet)
        self.streams = OpenStreams(self.limits.ping_s)
        self.known_names = frozenset(name for name, _ in self.names.items())

    async def route(self, parsed: Parsed) -> tuple[Route, Decision | None]:
        """The route of a request; the router reads it for automatic names only."""
        target = find_target(self.names, self.fleet, parsed.model, parsed.adapters)
        decision = await self._classify(turns_of(parsed)) if isinstance(target, Auto) else None
        return plan_route(target, decision, self.fleet), decision

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

    async def _classify(self, turns: Sequence[Turn]) -> Decision:
        start_s = now_s()
        if sum(len(text) for _, text in turns) <= INLINE_CHARS:
            decision = self.router.classify(turns)
        else:
            decision = await asyncio.to_thread(self.router.classify, turns)
        self.metrics.classification.observe(now_s() - start_s)
        return decision


def turns_of(parsed: Parsed) -> list[Turn]:
    """What the router reads. A prompt of token ids has no text here: it abstains on that."""
    if isinstance(parsed, ChatRequest):
        return [(message.role, message.text()) for message in parsed.messages]
    prompt = parsed.prompt
    if isinstance(prompt, str):
        return [("user", prompt)]
    return [("user", "".join(part for part in prompt if isinstance(part, str)))]
