"""The registry: which adapter version a name means now. Belongs to the event loop.

A version is known by the SHA-256 of its content. A request is bound to the version that its name
meant when it came, and ends on it, whatever becomes of the name. Refuses to know where a version's
factors are: that is ``paging``.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from worker.lora.files import AdapterFiles

SUM = "(sum)"
"""The name of all compositions in metrics: what clients compose is no label."""


@dataclass(frozen=True)
class AdapterVersion:
    """One content of an adapter, read and proved; or a sum of several, with ``parts``.

    ``effect``: max |delta logit| that the probe measured; a sum is not probed.
    """

    name: str
    digest: str
    path: Path
    format: str
    rank: int
    layers: int
    nbytes: int
    effect: float
    pinned: bool = False
    dora: bool = False
    targets: tuple[str, ...] = ()
    parts: "tuple[tuple[AdapterVersion, float], ...]" = ()

    @property
    def label(self) -> str:
        """Its name in metrics."""
        return SUM if self.parts else self.name

    @property
    def needs(self) -> "tuple[AdapterVersion, ...]":
        """What has to be in host memory for it to be put into a slot."""
        return tuple(part for part, _ in self.parts) or (self,)


def version_of(files: AdapterFiles, effect: float, pinned: bool) -> AdapterVersion:
    """What was read and proved."""
    return AdapterVersion(
        name=files.name,
        digest=files.digest,
        path=files.path,
        format=files.format,
        rank=files.rank,
        layers=len(files.factors),
        nbytes=files.nbytes,
        effect=effect,
        pinned=pinned,
        dora=files.dora,
        targets=files.targets,
    )


def compose(parts: Sequence[tuple[AdapterVersion, float]]) -> AdapterVersion:
    """The sum of several adapters' scaled deltas; equal parts and scales have one digest."""
    ordered = sorted(parts, key=lambda part: part[0].digest)
    text = "\n".join(f"{version.digest} {scale!r}" for version, scale in ordered)
    return AdapterVersion(
        name="+".join(f"{version.name}*{scale:g}" for version, scale in parts),
        digest=hashlib.sha256(f"sum\n{text}".encode()).hexdigest(),
        path=Path(),
        format="sum",
        rank=sum(version.rank for version, _ in parts),
        layers=max(version.layers for version, _ in parts),
        nbytes=sum(version.nbytes for version, _ in parts),
        effect=0.0,
        parts=tuple(ordered),
    )


class Registry:
    """Names to versions. ``on_unused`` is told of each version that nothing refers to any more."""

    def __init__(self, versions: Sequence[AdapterVersion] = ()) -> None:
        self._versions = {version.name: version for version in versions}
        self._bound: Counter[str] = Counter()
        self.on_unused: Callable[[AdapterVersion], None] = lambda _: None

    @property
    def versions(self) -> Mapping[str, AdapterVersion]:
        """A live view; other threads may look a name up in it."""
        return MappingProxyType(self._versions)

    def put(self, version: AdapterVersion) -> None:
        """A name means this version from now on."""
        former = self._versions.get(version.name)
        self._versions[version.name] = version
        if former is not None:
            self._drop_unused(former)

    def remove(self, name: str) -> AdapterVersion | None:
        """Nothing has this name any more; what it was, None: nothing had it."""
        version = self._versions.pop(name, None)
        if version is not None:
            self._drop_unused(version)
        return version

    @contextmanager
    def bound(self, version: AdapterVersion | None) -> Generator[None]:
        """Until a request is with the engine: its version is not dropped meanwhile."""
        held = version.needs if version is not None else ()
        self._bound.update(each.digest for each in held)
        try:
            yield
        finally:
            self._bound.subtract(each.digest for each in held)
            for each in held:
                self._drop_unused(each)

    def _drop_unused(self, version: AdapterVersion) -> None:
        digest = version.digest
        if self._bound[digest] > 0:
            return
        del self._bound[digest]
        if all(other.digest != digest for other in self._versions.values()):
            self.on_unused(version)
