"""Public model names of a fleet, derived: ``prefix``, ``prefix-base``, ``prefix-base-auto``,
``prefix-base-adapter``, and the file's aliases for them. Pure: no I/O.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fleet.schema import Fleet


@dataclass(frozen=True)
class Explicit:
    """A name that says exactly what answers; ``adapter`` None is the bare base."""

    base: str
    adapter: str | None


@dataclass(frozen=True)
class Auto:
    """A name that lets the router choose; ``base`` None is among all bases."""

    base: str | None


Target = Explicit | Auto


@dataclass(frozen=True)
class Clash:
    """Two things with one public name: where the second stands, and what to do."""

    path: tuple[str, ...]
    message: str


class Names:
    """Public name -> target, in the order in which ``/v1/models`` lists them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._targets: dict[str, Target] = {}
        self._origin: dict[str, str] = {}
        self._clashes: list[Clash] = []
        for name, target, path in self._derived():
            self._add(name, target, path)
        for alias, name in fleet.aliases.items():
            self._alias(alias, name)

    def target(self, name: str) -> Target | None:
        """What a public name stands for; None when nothing does.

        Besides the listed names, two forms are understood: SGLang's ``base:adapter``, with the
        base as its public or its short name, and vLLM's, the adapter's own name.
        """
        found = self._targets.get(name)
        if found is not None:
            return found
        base_name, colon, adapter = name.partition(":")
        base = base_name.removeprefix(f"{self._fleet.prefix}-")
        if colon and adapter in self._fleet.adapters_of(base):
            return Explicit(base, adapter)
        named = self._fleet.adapters.get(name)
        return Explicit(named.base, name) if named is not None else None

    def public(self, base: str, adapter: str | None) -> str:
        """The public name of what answered."""
        suffix = f"-{adapter}" if adapter else ""
        return f"{self._fleet.prefix}-{base}{suffix}"

    def items(self) -> list[tuple[str, Target]]:
        """All listed names with their targets."""
        return list(self._targets.items())

    def clashes(self) -> list[Clash]:
        """Names that two things claim, in file order; empty for a sound fleet."""
        return list(self._clashes)

    def _derived(self) -> Iterator[tuple[str, Target, tuple[str, ...]]]:
        prefix = self._fleet.prefix
        yield prefix, Auto(None), ("prefix",)
        for base in self._fleet.bases:
            yield f"{prefix}-{base}", Explicit(base, None), ("bases", base)
            yield f"{prefix}-{base}-auto", Auto(base), ("bases", base)
        for name, adapter in self._fleet.adapters.items():
            full = self.public(adapter.base, name)
            yield full, Explicit(adapter.base, name), ("adapters", name)

    def _add(self, name: str, target: Target, path: tuple[str, ...]) -> None:
        if name in self._targets:
            self._clashes.append(
                Clash(
                    path,
                    f"{'.'.join(path)} and {self._origin[name]} are both served as "
                    f"'{name}'; rename one",
                )
            )
            return
        self._targets[name] = target
        self._origin[name] = ".".join(path)

    def _alias(self, alias: str, name: str) -> None:
        target = self.target(name)
        if target is None:
            known = ", ".join(self._targets)
            self._clashes.append(
                Clash(
                    ("aliases", alias),
                    f"alias '{alias}' points to '{name}', which nothing is served as; one of: "
                    f"{known}",
                )
            )
            return
        self._add(alias, target, ("aliases", alias))
