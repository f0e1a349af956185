"""What workers must do for one fleet to follow another."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.plan import Load, Refused, Replace, Unload, loading, plan_changes, undo
from tests.gateway.harness import FLEET, make_fleet
from tests.gateway.test_routing import measured

HERE = Path.cwd().resolve()
SOURCES = st.sampled_from(["a", "b", f"org/x@{'0' * 40}"])
ADAPTERS = st.dictionaries(
    st.sampled_from(["x", "y", "z", "w"]),
    st.fixed_dictionaries(
        {
            "base": st.sampled_from(["apertus", "devstral", "big"]),
            "source": SOURCES,
            "pinned": st.booleans(),
        }
    ),
)


def fleet(adapters):
    return make_fleet(adapters=adapters, aliases={})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bases": FLEET["bases"] | {"new": {"model": "m"}}}, "bases changed; restart"),
        ({"prefix": "p", "lora_roots": ["/x"]}, "prefix and lora_roots changed; restart"),
    ],
)
def test_what_needs_a_restart(change, reason):
    planned = plan_changes(make_fleet(), make_fleet(**change))
    assert isinstance(planned, Refused)
    assert planned.reason.startswith(reason)


@pytest.mark.parametrize(
    "change",
    [
        {"aliases": {}},
        {"default_base": "devstral"},
        {"domains": FLEET["domains"] | {"x": {"description": "x"}}},
        {"adapters": {n: a for n, a in FLEET["adapters"].items() if n != "law"}},
        {"lora_roots": ["."]},
        {"adapters": measured("python")},
    ],
)
def test_what_no_worker_has_to_know(change):
    assert plan_changes(make_fleet(), make_fleet(**change)) == []


def test_loads_come_first_and_paths_are_absolute():
    served = fleet(
        {"x": {"base": "apertus", "source": "a"}, "y": {"base": "apertus", "source": "a"}}
    )
    wanted = fleet(
        {"z": {"base": "devstral", "source": "c"}, "y": {"base": "apertus", "source": "b"}}
    )
    planned = plan_changes(served, wanted)
    assert planned == [
        Load("devstral", "z", str(HERE / "c")),
        Replace("apertus", "y", str(HERE / "b"), str(HERE / "a")),
        Unload("apertus", "x"),
    ]
    assert loading(planned) == ["devstral", "apertus"]
    assert undo(planned[0]) == Unload("devstral", "z")
    assert undo(planned[1]) == Replace("apertus", "y", str(HERE / "a"), str(HERE / "b"))


def test_a_pin_is_a_change_of_its_own():
    plain = {"base": "apertus", "source": "a"}
    one, other = fleet({"x": plain}), fleet({"x": plain | {"pinned": True}, "y": plain})
    a = str(HERE / "a")
    planned = plan_changes(one, other)
    assert planned == [Replace("apertus", "x", a, a, True, False), Load("apertus", "y", a)]
    assert undo(planned[0]) == Replace("apertus", "x", a, a, False, True)
    assert plan_changes(other, other) == []


def held(served):
    return {
        (a.base, name): (
            a.source if "@" in a.source else str(served.resolve(a.source)),
            a.pinned,
        )
        for name, a in served.adapters.items()
        if a.base != "big"
    }


def applied(before, changes):
    after = dict(before)
    for change in changes:
        if isinstance(change, Unload):
            del after[change.base, change.name]
        else:
            after[change.base, change.name] = (change.source, change.pinned)
    return after


@given(ADAPTERS, ADAPTERS)
def test_workers_then_hold_what_is_wanted_and_undoing_brings_back_what_was(one, other):
    served, wanted = fleet(one), fleet(other)
    planned = plan_changes(served, wanted)
    assert applied(held(served), planned) == held(wanted)
    loads = [change for change in planned if not isinstance(change, Unload)]
    back = [undo(change) for change in reversed(loads)]
    assert applied(held(served), [*loads, *back]) == held(served)
