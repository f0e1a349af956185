"""Host copies: what is read for rows that have gone is not kept."""

from tests.worker.residency.fakes import World
from worker.residency.adapters import compose
from worker.residency.policy import Budget


def test_what_nobody_wants_any_more_is_not_kept_when_it_comes() -> None:
    """A part was unloaded while it was read for a row that had gone: its copy stayed for ever."""
    world = World(4, Budget(float("inf"), 10, 2))
    for name in ("a0", "a1", "a2"):
        world.load(name, f"{name}-1", nbytes=4)
    known = world.registry.versions
    version = compose([(known[name], 0.5) for name in ("a0", "a1", "a2")])
    row = world.submit(version.name, version)
    world.end(row if row is not None else world.waiting[0])
    world.registry.remove("a2")
    while world.loader.jobs:
        world.loader.finish()
    world.paging.take_arrived(world.waiting)
    assert "a2-1" not in world.host
