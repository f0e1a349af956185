"""What is on its way into a slot: who waits for it, what it holds, and how it ends early."""

import math
from typing import Any, cast

import pytest

from tests.worker.residency.fakes import Files, World
from worker.pieces import Pieces, whole
from worker.residency.adapters import AdapterVersion
from worker.residency.policy import Budget


def loading(world: World, name: str, digest: str) -> Pieces[AdapterVersion]:
    """Begun: it has a slot, if one was free."""
    pieces = world.paging.loading(cast(Any, Files(name, digest)))
    next(pieces)
    return pieces


def one_free_slot() -> World:
    """Of one; a host copy of b is kept."""
    world = World(1)
    for name in "ab":
        world.load(name)
    world.registry.remove("a")
    assert world.paging.tier_of("b-1") == "resident"
    return world


def test_who_waits_for_the_slot_of_a_load_waits_for_something() -> None:
    world = one_free_slot()
    pieces = loading(world, "c", "c-1")
    row = world.submit("b")
    assert world.admit(placed=False) is None
    assert world.paging.is_coming
    whole(pieces)
    assert not world.paging.is_coming
    assert world.admit() is row
    assert world.model.slots == {1: ("b-1",)}


class TestALoadThatFailsWhileRowsWaitForItsContent:
    """Not even then does a row run without the adapter that it names."""

    def test_they_get_it_all_the_same(self) -> None:
        world = one_free_slot()
        pieces = loading(world, "b-too", "b-1")
        world.submit("b")
        row = world.admit(placed=False)
        assert row is not None
        with pytest.raises(MemoryError):
            pieces.throw(MemoryError("no memory"))
        assert world.paging.is_placing(row.slot)
        assert world.model.slots == {}
        world.paging.place([], math.inf)
        assert not world.paging.is_placing(row.slot)
        assert world.model.slots == {row.slot: ("b-1",)}
        world.end(row)
        world.registry.remove("b")
        assert world.model.slots == {}
        assert world.host.nbytes == 0

    def test_and_it_goes_with_them_if_no_name_means_it(self) -> None:
        world = one_free_slot()
        pieces = loading(world, "b-too", "b-1")
        world.submit("b")
        row = world.admit(placed=False)
        assert row is not None
        world.registry.remove("b")
        with pytest.raises(MemoryError):
            pieces.throw(MemoryError("no memory"))
        world.paging.place([], math.inf)
        assert world.model.slots == {row.slot: ("b-1",)}
        world.end(row)
        assert world.model.slots == {}
        assert world.host.nbytes == 0

    def test_or_leave(self) -> None:
        world = one_free_slot()
        pieces = loading(world, "b-too", "b-1")
        world.submit("b")
        row = world.admit(placed=False)
        assert row is not None
        world.end(row)
        with pytest.raises(MemoryError):
            pieces.throw(MemoryError("no memory"))
        world.submit("b")
        assert world.admit() is not None
        assert world.model.slots == {1: ("b-1",)}


class TestHostCopies:
    """They are counted for as long as a put reads them."""

    def test_none_is_dropped_for_the_keys_and_values_of_others(self) -> None:
        world = World(2, Budget(14, 0, 1))
        for name in "abc":
            world.load(name, nbytes=4)
        assert world.host.nbytes == 4
        world.submit("c")
        row = world.admit(placed=False)
        assert row is not None
        late = world.submit(None, tokens=10)
        # one byte of its own, four of the copy that is being put, ten of the other's
        assert world.admit(placed=False) is None
        assert "c-1" in world.host
        world.paging.place(world.waiting, math.inf)
        assert world.admit() is late
        assert world.host.nbytes == 0

    def test_the_only_one_goes_when_it_is_in_the_slot(self) -> None:
        world = World(2)
        for name in "abc":
            world.load(name)
        world.registry.remove("b")
        world.submit("c")
        assert world.admit(placed=False) is not None
        assert "c-1" in world.host
        world.paging.place([], math.inf)
        assert "c-1" not in world.host

    def test_a_put_that_nobody_waits_for_holds_nothing_and_delays_nobody(self) -> None:
        world = World(1)
        for name in "abc":
            world.load(name)
        world.submit("b")
        gone = world.admit(placed=False)
        assert gone is not None
        world.paging.place([], 0.0)
        world.end(gone)
        assert not world.paging.is_placing(1)
        assert world.paging.tier_of("b-1") == "resident"
        world.submit("c")
        row = world.admit()
        assert row is not None
        assert world.model.slots == {row.slot: ("c-1",)}
