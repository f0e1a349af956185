"""Where a request goes: name, router's decision and fleet -> route. Pure: no I/O, no clock.

1. An explicit name is final, also when its adapter is quarantined.
2. The router abstained: the base with no adapter, and the router's reason.
3. The domain has an active adapter on an allowed base: that adapter.
4. It has only quarantined ones there: their base with no adapter, reason ``quarantined``.
5. No adapter there at all: the base with no adapter, reason ``out_of_domain``.

Allowed bases are the one of ``prefix-base-auto``, or all. Among several adapters of a
domain (on different bases) the first of the file wins.
"""

from dataclasses import dataclass
from difflib import get_close_matches

from fleet.names import Auto, Explicit, Names, Target
from fleet.schema import Fleet
from router.decision import Decision, Reason
from wire.errors import InvalidRequest, ModelNotFound


@dataclass(frozen=True, slots=True)
class Route:
    """The base and adapter to ask for, and why. ``adapter`` None is the bare base."""

    base: str
    adapter: str | None
    reason: Reason
    domain: str | None = None
    confidence: float | None = None


def find_target(names: Names, fleet: Fleet, model: str, adapters: str | None) -> Target:
    """What ``model``, and mlx-lm's ``adapters`` if given, ask for.

    Raises ModelNotFound for a name that nothing is served as, InvalidRequest where the two
    fields contradict each other.
    """
    target = names.target(model)
    if target is None:
        raise ModelNotFound(_not_found(model, names), param="model")
    if adapters is None:
        return target
    named = _find_adapter(names, fleet, adapters)
    if isinstance(target, Explicit) and target.adapter not in (None, named.adapter):
        raise InvalidRequest(
            f"model '{model}' and adapters '{adapters}' name different adapters; send one",
            param="adapters",
        )
    if target.base not in (None, named.base):
        raise InvalidRequest(
            f"adapter '{adapters}' is not on the base of model '{model}'", param="adapters"
        )
    return named


def plan_route(target: Target, decision: Decision | None, fleet: Fleet) -> Route:
    """The route of a target; ``decision`` is needed for automatic names only."""
    if isinstance(target, Explicit):
        return Route(target.base, target.adapter, "explicit")
    assert decision is not None
    return _plan_auto(target, decision, fleet)


def _plan_auto(target: Auto, decision: Decision, fleet: Fleet) -> Route:
    bare_base = target.base or fleet.fallback_base
    domain, confidence = decision.domain, decision.confidence
    if domain is None:
        return Route(bare_base, None, decision.reason, None, confidence)
    serving = [
        (name, adapter)
        for name, adapter in fleet.adapters.items()
        if adapter.domain == domain and target.base in (None, adapter.base)
    ]
    for name, adapter in serving:
        if adapter.status == "active":
            return Route(adapter.base, name, decision.reason, domain, confidence)
    if serving:
        return Route(serving[0][1].base, None, "quarantined", domain, confidence)
    return Route(bare_base, None, "out_of_domain", domain, confidence)


def _find_adapter(names: Names, fleet: Fleet, wanted: str) -> Explicit:
    # Only names and sources of the file are compared; a client's path is never opened.
    for name, adapter in fleet.adapters.items():
        if wanted in (name, adapter.source, names.public(adapter.base, name)):
            return Explicit(adapter.base, name)
    known = ", ".join(fleet.adapters) or "none"
    raise ModelNotFound(f"no adapter '{wanted}' is served; known: {known}", param="adapters")


def _not_found(model: str, names: Names) -> str:
    known = [name for name, _ in names.items()]
    close = get_close_matches(model, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "GET /v1/models lists what is served"
    return f"The model '{model}' does not exist; {hint}"
