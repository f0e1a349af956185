"""Where a request goes: name, router's decision and fleet -> route. Pure: no I/O, no clock.

1. An explicit name is final. Where its adapter, or one that a composition adds to its base, is
   quarantined, or its evidence does not meet its rule, the route carries a warning that says so.
2. The router abstained: the base with no adapter, and the router's reason.
3. The domain has an adapter on an allowed base that is active and meets its rule: that adapter.
4. It has active ones there, none of which meets its rule: the base of the first with no
   adapter, reason ``evidence``, and what the results lack.
5. It has only quarantined ones there: their base with no adapter, reason ``quarantined``.
6. No adapter there at all: the base with no adapter, reason ``out_of_domain``.

Allowed bases are the one of ``prefix-base-auto``, or all. Among several adapters of a
domain (on different bases) the first of the file wins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches

from fleet.evidence.judge import Unmet, unmet
from fleet.names import Auto, Explicit, Names, Target
from fleet.schema import Fleet
from router.decision import Decision, Reason
from wire.errors import InvalidRequest, ModelNotFound

Digests = Mapping[tuple[str, str], str]
"""(base, adapter) -> SHA-256 of the content that is served, as far as workers told it."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """An adapter that was not chosen, since its evidence does not meet its rule."""

    adapter: str
    unmet: Unmet

    def body(self) -> dict[str, str]:
        """As answers show it."""
        return {"adapter": self.adapter, "rule": self.unmet.rule, "found": self.unmet.found}


@dataclass(frozen=True, slots=True)
class Route:
    """The base and adapter to ask for, and why. ``adapter`` None is the bare base."""

    base: str
    adapter: str | None
    reason: Reason
    domain: str | None = None
    confidence: float | None = None
    warning: str | None = None
    """What speaks against the adapters that were asked for by name: one line of any text."""
    lacking: Lacking | None = None
    """With reason ``evidence``: what was missing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A fleet, and what its evidence is judged by.

    ``today`` None: results of any age count. An adapter without digest: of any version.
    """

    fleet: Fleet
    today: date | None = None
    digests: Digests = field(default_factory=dict[tuple[str, str], str])

    def unmet(self, name: str) -> Unmet | None:
        """The rule of an adapter that its results don't meet."""
        adapter = self.fleet.adapters[name]
        return unmet(self.fleet, adapter, self.today, self.digests.get((adapter.base, name)))

    def warning(self, name: str) -> str | None:
        """Why an adapter is never chosen automatically, in one line; None: it may be."""
        adapter = self.fleet.adapters[name]
        if adapter.status == "quarantined":
            return f"quarantined: {' '.join((adapter.reason or '').split())}"
        lacks = self.unmet(name)
        return None if lacks is None else f"evidence: {lacks.found}"


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


def plan_route(
    target: Target,
    decision: Decision | None,
    judged: Judged,
    parts: Iterable[str] = (),
) -> Route:
    """The route of a target; ``decision`` is needed for automatic names only.

    ``parts``: adapters that a composition adds to the base of an explicit name.
    """
    if isinstance(target, Explicit):
        if target.adapter is not None:
            warning = judged.warning(target.adapter)
        else:
            warning = _warning_of_parts(target.base, parts, judged)
        return Route(target.base, target.adapter, "explicit", warning=warning)
    assert decision is not None
    return _plan_auto(target, decision, judged)


def _warning_of_parts(base: str, parts: Iterable[str], judged: Judged) -> str | None:
    """``power: quarantined: loops; law: evidence: ...``; None: nothing speaks against any."""
    known = judged.fleet.adapters_of(base)
    found = [(name, judged.warning(name)) for name in parts if name in known]
    lines = [f"{name}: {warning}" for name, warning in found if warning is not None]
    return "; ".join(lines) or None


def _plan_auto(target: Auto, decision: Decision, judged: Judged) -> Route:
    fleet = judged.fleet
    bare_base = target.base or fleet.fallback_base
    domain, confidence = decision.domain, decision.confidence
    if domain is None:
        return Route(bare_base, None, decision.reason, None, confidence)
    serving = [
        (name, adapter)
        for name, adapter in fleet.adapters.items()
        if adapter.domain == domain and target.base in (None, adapter.base)
    ]
    lacking: list[tuple[str, Lacking]] = []
    for name, adapter in serving:
        if adapter.status != "active":
            continue
        lacks = judged.unmet(name)
        if lacks is None:
            return Route(adapter.base, name, decision.reason, domain, confidence)
        lacking.append((adapter.base, Lacking(name, lacks)))
    if lacking:
        base, first = lacking[0]
        return Route(base, None, "evidence", domain, confidence, lacking=first)
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
