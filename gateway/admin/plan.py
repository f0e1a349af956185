"""What workers must do for one fleet to be served instead of another. Pure.

Loads and replacements come first, in the order of the file; unloads come once the names are gone.
What workers read only at their start can't change meanwhile: it is refused by name.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fleet.schema import Fleet, is_hub_id


@dataclass(frozen=True, slots=True)
class Load:
    """``source`` as the worker takes it: an absolute path, or a hub id."""

    base: str
    name: str
    source: str
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Replace:
    base: str
    name: str
    source: str
    former: str
    pinned: bool = False
    was_pinned: bool = False


@dataclass(frozen=True, slots=True)
class Unload:
    base: str
    name: str


Change = Load | Replace | Unload


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed, and why."""

    reason: str


def plan_changes(served: Fleet, wanted: Fleet) -> list[Change] | Refused:
    """What to do, in order; Refused where only a restart can."""
    reason = _needs_restart(served, wanted)
    if reason is not None:
        return Refused(reason)
    before, after = _loaded(served), _loaded(wanted)
    changes: list[Change] = []
    for (base, name), (source, pinned) in after.items():
        former = before.get((base, name))
        if former is None:
            changes.append(Load(base, name, source, pinned))
        elif former != (source, pinned):
            changes.append(Replace(base, name, source, former[0], pinned, former[1]))
    gone = [key for key in before if key not in after]
    return changes + [Unload(base, name) for base, name in gone]


def undo(change: Load | Replace) -> Change:
    """What makes the worker as it was before."""
    if isinstance(change, Load):
        return Unload(change.base, change.name)
    return Replace(
        *(change.base, change.name, change.former, change.source),
        *(change.was_pinned, change.pinned),
    )


def loading(changes: list[Change]) -> list[str]:
    """The bases whose workers must load something, each once."""
    return list(dict.fromkeys(c.base for c in changes if not isinstance(c, Unload)))


def _needs_restart(served: Fleet, wanted: Fleet) -> str | None:
    parts: list[tuple[str, Callable[[Fleet], object]]] = [
        ("bases", lambda fleet: fleet.bases),
        ("prefix", lambda fleet: fleet.prefix),
        ("lora_roots", lambda fleet: fleet.roots),
    ]
    changed = [name for name, part in parts if part(served) != part(wanted)]
    return f"{' and '.join(changed)} changed; restart to serve it" if changed else None


def _loaded(fleet: Fleet) -> dict[tuple[str, str], tuple[str, bool]]:
    """What our workers hold: (base, name) -> source, and whether it keeps its slot.

    Other servers are not asked to load.
    """
    return {
        (adapter.base, name): (source_of(fleet, adapter.source), adapter.pinned)
        for name, adapter in fleet.adapters.items()
        if fleet.bases[adapter.base].engine == "mlx"
    }


def source_of(fleet: Fleet, source: str) -> str:
    """A source of a fleet as a worker takes it, wherever that was started."""
    return source if is_hub_id(source) else str(fleet.resolve(source))
