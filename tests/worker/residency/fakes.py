"""A model, files and a loader that only write down what is done to them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from worker.engine.observer import Silent
from worker.engine.request import GenerationRequest
from worker.engine.row import Row
from worker.pieces import Pieces
from worker.residency.adapters import AdapterVersion, Registry
from worker.residency.hosting import HostCopies
from worker.residency.paging import Memory, Paging
from worker.residency.policy import Budget

NOTHING: Any = None


@dataclass(frozen=True)
class Files:
    name: str
    digest: str
    nbytes: int = 1
    rank: int = 8
    format: str = "mlx"
    path: Path = Path()
    dora: bool = False
    factors: tuple[str, ...] = ("q_proj",)
    targets: tuple[str, ...] = ("q_proj",)


PIECES = 3


@dataclass
class Model:
    """What is in each slot; a put takes some pieces, and is undone if closed before the last."""

    nbytes: int = 0
    slots: dict[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])

    def putting(self, slot: int, files: Files) -> Pieces[None]:
        return self._putting(slot, (files.digest,))

    def putting_sum(self, slot: int, parts: Sequence[tuple[Files, float]]) -> Pieces[None]:
        return self._putting(slot, tuple(f"{f.digest}*{scale:g}" for f, scale in parts))

    def _putting(self, slot: int, held: tuple[str, ...]) -> Pieces[None]:
        self.slots.pop(slot, None)
        for _ in range(PIECES):
            yield
        self.slots[slot] = held

    def clear(self, slot: int) -> None:
        self.slots.pop(slot, None)


class SlowLoader:
    """Jobs are done when told to be."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def run(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((job, done))

    def finish(self, number: int = 0) -> None:
        job, done = self.jobs.pop(number)
        try:
            done(job())
        except OSError as error:
            done(error)

    def close(self) -> None: ...


class World:
    """Paging over fakes, with rows that wait and run as the scheduler has them."""

    def __init__(self, slots: int, budget: Budget | None = None) -> None:
        self.model = Model()
        self.loader = SlowLoader()
        self.registry = Registry()
        self.disk: dict[str, Files] = {}
        self.effect: dict[str, float] = {}
        self.proofs: list[str] = []
        self.host = HostCopies(cast(Any, self.loader), cast(Any, self._read))
        self.budget = budget or Budget(float("inf"), 0, 0)
        memory = Memory(cast(Any, self.model), slots, self.host, self.budget)
        self.paging = Paging(memory, self.registry.versions, self._prove, Silent())
        self.registry.on_unused = lambda version: self.paging.retire(version.digest)
        self.waiting: list[Row] = []
        self.running: list[Row] = []
        self.count = 0

    def _read(self, version: AdapterVersion) -> Files:
        if version.name not in self.disk:
            raise FileNotFoundError(f"{version.name} is gone")
        return self.disk[version.name]

    def _prove(self, name: str, slot: int) -> Pieces[float]:
        yield
        (digest,) = self.model.slots[slot]
        self.proofs.append(name)
        effect = self.effect.get(digest, 1.0)
        if not effect:
            raise ValueError("has no effect")
        return effect

    def load(self, name: str, digest: str | None = None, nbytes: int = 1, **how: Any) -> None:
        files = Files(name, digest or f"{name}-1", nbytes)
        self.disk[name] = files
        self.registry.put(self.paging.load(cast(Any, files), **how))

    def submit(
        self, name: str | None, version: AdapterVersion | None = None, tokens: int = 1
    ) -> Row:
        request = GenerationRequest([1], name, tokens - 1, version=version)
        self.count += 1
        row = Row(self.count, request, NOTHING, NOTHING, 0.0)
        self.paging.bind(row)
        self.waiting.append(row)
        self.paging.fetch_ahead(self.waiting)
        return row

    def admit(self, bound: int = 4, *, placed: bool = True) -> Row | None:
        """The next row, if there is one that can run; ``placed``: with its adapter in its slot."""
        self.paging.take_arrived(self.waiting)
        self.paging.fetch_ahead(self.waiting)
        choice = self.paging.plan(self.waiting, bound)
        if choice is None:
            return None
        row = self.waiting[choice.index]
        row.slot = self.paging.admit(row, self.waiting)
        del self.waiting[choice.index]
        for other in self.waiting[: choice.index]:
            other.overtaken += 1
        row.on_admitted(0.0)
        self.running.append(row)
        if placed:
            self.paging.place(self.waiting, math.inf)
            assert not self.paging.is_placing(row.slot)
        return row

    def end(self, row: Row) -> None:
        (self.running if row in self.running else self.waiting).remove(row)
        self.paging.release(row, admitted=row.state != "waiting")
        row.on_end()
