"""Adapters loaded at run time, and the fleet that they make with those of the file. Pure.

The file comes first: a run-time adapter that is at odds with it is left out, or is no longer
chosen for its domain, and the reason is said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.names import Names
from fleet.schema import Adapter, Fleet

MOST_PER_BASE = 4096
"""Names become labels of metrics, and each adapter is loaded again after a restart."""


@dataclass(frozen=True, slots=True)
class RuntimeAdapter:
    """``source``: an absolute path, or ``org/name@commit``."""

    name: str
    base: str
    source: str
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """The fleet to serve, and why parts of what was loaded are not in it: name -> reason."""

    fleet: Fleet
    left_out: dict[str, str]
    unrouted: dict[str, str]


def merge(
    file: Fleet, loaded: Iterable[RuntimeAdapter], problems: Mapping[str, str] | None = None
) -> Merged:
    """``problems``: adapters that a worker could not load again, and why."""
    taken = Taken(file)
    added: dict[str, Adapter] = {}
    left_out: dict[str, str] = {}
    unrouted: dict[str, str] = {}
    for entry in loaded:
        fault = (problems or {}).get(entry.name) or taken.fault(entry)
        if fault is not None:
            left_out[entry.name] = fault
            continue
        fault = taken.domain_fault(entry)
        if fault is not None:
            unrouted[entry.name] = fault
        domain = entry.domain if fault is None else None
        added[entry.name] = Adapter(base=entry.base, source=entry.source, domain=domain)
        taken.add(entry.name, added[entry.name])
    fleet = file.model_copy(update={"adapters": {**file.adapters, **added}}) if added else file
    return Merged(fleet, left_out, unrouted)


class Taken:
    """The names and domains of a fleet that is being put together."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._names = Names(fleet)
        self._public = {name for name, _ in self._names.items()}
        self._adapters = set(fleet.adapters)
        self._domains: dict[tuple[str, str], str] = {}
        for name, adapter in fleet.adapters.items():
            self._take_domain(name, adapter)

    def add(self, name: str, adapter: Adapter) -> None:
        self._adapters.add(name)
        self._public.add(self._names.public(adapter.base, name))
        self._take_domain(name, adapter)

    def fault(self, entry: RuntimeAdapter) -> str | None:
        """Why it can't be served under its name, with the mend; None: it can."""
        if (fault := self._base_fault(entry.base)) is not None:
            return fault
        if entry.name in self._fleet.bases:
            return f"a base is named '{entry.name}'; choose another name"
        if entry.name in self._adapters:
            return f"another adapter is named '{entry.name}'; choose another name"
        public = self._names.public(entry.base, entry.name)
        if public in self._public:
            return f"something else is served as '{public}'; choose another name"
        return None

    def _base_fault(self, name: str) -> str | None:
        bases = self._fleet.bases
        if name not in bases:
            return f"there is no base '{name}'; known: {', '.join(bases)}"
        if bases[name].engine != "mlx":
            return (
                f"base '{name}' is served elsewhere; load the adapter there, and name it in "
                "adapters.yaml"
            )
        pinned = sum(each.pinned for each in self._fleet.adapters_of(name).values())
        if pinned >= bases[name].slots:
            # no row of it would ever get a slot
            return (
                f"the fleet file pins adapters to all {bases[name].slots} slots of base '{name}'; "
                "pin fewer there, or raise 'slots'"
            )
        return None

    def domain_fault(self, entry: RuntimeAdapter) -> str | None:
        """Why it can't be chosen for its domain; None: it can, or it has none."""
        if entry.domain is None:
            return None
        if entry.domain not in self._fleet.domains:
            known = ", ".join(self._fleet.domains) or "none"
            return f"the fleet file has no domain '{entry.domain}'; known: {known}"
        other = self._domains.get((entry.base, entry.domain))
        if other is not None:
            return (
                f"adapter '{other}' serves domain '{entry.domain}' on base '{entry.base}' already; "
                "leave 'domain' out"
            )
        return None

    def _take_domain(self, name: str, adapter: Adapter) -> None:
        if adapter.domain is not None and adapter.status == "active":
            self._domains.setdefault((adapter.base, adapter.domain), name)
