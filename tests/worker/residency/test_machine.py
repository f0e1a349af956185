"""Arrivals, ends, reads and loads in any order: what must hold at all times, and at the end."""

from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.worker.residency.fakes import Files, World
from worker.pieces import Pieces
from worker.residency.adapters import AdapterVersion, compose
from worker.residency.policy import Budget

NAMES = [f"a{n}" for n in range(9)]
BOUND = 3
TOTAL = 60


class Life(RuleBasedStateMachine):
    world: World
    max_rows: int

    @initialize(slots=st.integers(1, 4), max_rows=st.integers(1, 6), limited=st.booleans())
    def start(self, slots: int, max_rows: int, limited: bool) -> None:
        self.limited = limited
        self.world = World(slots, Budget(TOTAL if limited else float("inf"), 10, 2))
        self.max_rows = max_rows
        self.slots = slots
        self.versions = 0
        self.coming: tuple[Files, Pieces[AdapterVersion]] | None = None
        for name in NAMES[:5]:
            self.load(name)

    @rule(name=st.sampled_from(NAMES))
    def load(self, name: str) -> None:
        """A new one, or another version in place."""
        self.versions += 1
        # what this seed of a test has on disk is what was loaded last under a name
        if self.coming is None:
            self.world.load(name, f"{name}-{self.versions}", nbytes=4)

    @rule(name=st.sampled_from(NAMES))
    def unload(self, name: str) -> None:
        if not any(row.request.adapter == name for row in self.world.waiting):
            self.world.registry.remove(name)

    @rule(name=st.sampled_from([*NAMES, None]), tokens=st.integers(1, 8))
    def submit(self, name: str | None, tokens: int) -> None:
        if name is None or name in self.world.registry.versions:
            self.world.submit(name, tokens=tokens)

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True))
    def submit_a_sum(self, names: list[str]) -> None:
        known = self.world.registry.versions
        if all(name in known for name in names):
            version = compose([(known[name], 0.5) for name in names])
            self.world.submit(version.name, version)

    @rule(data=st.data())
    def end(self, data: Any) -> None:
        rows = [*self.world.waiting, *self.world.running]
        if rows:
            self.world.end(data.draw(st.sampled_from(rows)))

    @rule(data=st.data())
    def read(self, data: Any) -> None:
        if self.world.loader.jobs:
            number = data.draw(st.integers(0, len(self.world.loader.jobs) - 1))
            self._finish(number)

    @rule()
    def admit(self) -> None:
        while self.world.waiting and len(self.world.running) < self.max_rows:
            if self.world.admit(BOUND, placed=False) is None:
                return

    @rule()
    def place(self) -> None:
        """A piece of what is on its way into a slot."""
        self.world.paging.place(self.world.waiting, 0.0)

    @rule(name=st.sampled_from(NAMES))
    def begin_load(self, name: str) -> None:
        if self.coming is None:
            self.versions += 1
            files = Files(name, f"{name}-{self.versions}", 4)
            self.coming = (files, self.world.paging.loading(cast(Any, files)))

    @rule()
    def go_on_loading(self) -> None:
        """A piece; with the last one the name means what was loaded."""
        if self.coming is None:
            return
        files, pieces = self.coming
        try:
            next(pieces)
        except StopIteration as end:
            self.world.disk[files.name] = files
            self.world.registry.put(end.value)
            self.coming = None

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def begin_load_of_known_content(self, name: str, other: str) -> None:
        known = self.world.registry.versions
        if self.coming is None and other in known:
            files = Files(name, known[other].digest, 4)
            self.coming = (files, self.world.paging.loading(cast(Any, files)))

    @rule()
    def fail_to_load(self) -> None:
        if self.coming is None:
            return
        files, pieces = self.coming
        with pytest.raises(MemoryError):
            pieces.throw(MemoryError(files.name))
        self.coming = None

    def _finish(self, number: int) -> None:
        """Read one; a row whose version is not on disk any more is told, and ends."""
        world = self.world
        world.loader.finish(number)
        for row, _ in world.paging.take_arrived(world.waiting):
            if row in world.waiting:
                world.end(row)

    @invariant()
    def rows_have_their_adapters(self) -> None:
        if not hasattr(self, "world"):
            return
        for row in self.world.running:
            if row.version is None:
                assert row.slot == 0
                continue
            parts = row.version.parts
            held = tuple(f"{v.digest}*{s:g}" for v, s in parts) or (row.version.digest,)
            assert 1 <= row.slot <= self.slots
            if self.world.paging.is_placing(row.slot):
                continue
            assert self.world.model.slots[row.slot] == held

    @invariant()
    def nobody_is_overtaken_more_often_than_is_allowed(self) -> None:
        if hasattr(self, "world"):
            assert all(row.overtaken <= BOUND for row in self.world.waiting)

    @invariant()
    def the_budget_holds(self) -> None:
        if hasattr(self, "world") and self.limited:
            kv = sum(row.kv_bytes for row in self.world.running)
            assert 10 + kv + self.world.host.nbytes <= TOTAL

    def teardown(self) -> None:
        """Whoever waits is admitted in the end, and nothing is held by rows that are gone."""
        if not hasattr(self, "world"):
            return
        for _ in range(1000):
            if not self.world.waiting and not self.world.running and self.coming is None:
                break
            if self.world.loader.jobs:
                self._finish(0)
            self.admit()
            self.place()
            self.go_on_loading()
            if self.world.running and not self.world.paging.is_placing(self.world.running[0].slot):
                self.world.end(self.world.running[0])
        assert not self.world.waiting
        for name in NAMES:
            self.world.registry.remove(name)
        assert not self.world.model.slots or self.world.loader.jobs
        assert self.world.host.nbytes == sum(4 for _ in self.world.loader.jobs)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
