"""The fleet of file and run-time adapters together: the file comes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.names import Names
from gateway.admin.runtime import RuntimeAdapter, merge
from tests.gateway.harness import FLEET, make_fleet

FILE = make_fleet(aliases={"mine": "ailiance", "ailiance-apertus-taken": "ailiance"})


def entry(name="x", base="apertus", domain=None):
    return RuntimeAdapter(name, base, "/srv/x", domain)


def test_nothing_loaded_is_the_file_itself():
    assert merge(FILE, []).fleet is FILE


def test_they_come_after_those_of_the_file():
    merged = merge(FILE, [entry("x"), entry("y", "devstral", "music")])
    assert list(merged.fleet.adapters) == [*FILE.adapters, "x", "y"]
    assert merged.fleet.adapters["y"].domain == "music"
    assert (merged.left_out, merged.unrouted) == ({}, {})


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (entry(base="gone"), "no base 'gone'"),
        (entry(base="big"), "served elsewhere"),
        (entry("devstral"), "a base is named 'devstral'"),
        (entry("power", "devstral"), "another adapter is named"),
        (entry("auto"), "served as 'ailiance-apertus-auto'"),
        (entry("taken"), "served as 'ailiance-apertus-taken'"),
    ],
)
def test_what_is_at_odds_with_the_file_is_left_out(given_, said):
    merged = merge(FILE, [given_, entry("fine")])
    assert said in merged.left_out[given_.name]
    assert "fine" in merged.fleet.adapters


def test_where_the_file_pins_every_slot_none_is_left():
    bases = FLEET["bases"] | {"apertus": {"model": "m", "slots": 2}}
    two = {"p": {"base": "apertus", "source": "p", "pinned": True}}
    file = make_fleet(bases=bases, adapters=two, aliases={})
    assert "x" in merge(file, [entry()]).fleet.adapters
    two["q"] = two["p"] | {"source": "q"}
    file = make_fleet(bases=bases, adapters=two, aliases={})
    merged = merge(file, [entry(), entry("y", "devstral")])
    assert "pins adapters to all 2 slots of base 'apertus'; pin fewer" in merged.left_out["x"]
    assert list(merged.fleet.adapters) == ["p", "q", "y"]


def test_a_domain_that_is_taken_or_gone_is_left_away():
    loaded = [entry("a", domain="electronics"), entry("b", domain="gone"), entry("c", domain="law")]
    merged = merge(FILE, [*loaded, entry("d", domain="law")])
    assert [merged.fleet.adapters[n].domain for n in "abcd"] == [None, None, "law", None]
    assert set(merged.unrouted) == {"a", "b", "d"}


def test_a_quarantined_adapter_does_not_hold_its_domain():
    assert merge(FILE, [entry(domain="power")]).unrouted == {}


def test_what_a_worker_could_not_load_is_left_out():
    merged = merge(FILE, [entry()], {"x": "no such folder"})
    assert merged.left_out == {"x": "no such folder"}
    assert merged.fleet is FILE


@given(
    st.lists(
        st.builds(
            RuntimeAdapter,
            st.sampled_from(["auto", "x", "y", "power", "apertus", "taken", "mine", "x-auto"]),
            st.sampled_from(["apertus", "devstral", "big", "gone"]),
            st.just("/srv/x"),
            st.sampled_from([None, "music", "power", "gone", "electronics"]),
        )
    )
)
def test_whatever_was_loaded_the_fleet_is_sound(loaded):
    merged = merge(FILE, loaded)
    assert Names(merged.fleet).clashes() == []
    assert FILE.adapters.items() <= merged.fleet.adapters.items()
    active = [
        (a.base, a.domain)
        for a in merged.fleet.adapters.values()
        if a.domain and a.status == "active"
    ]
    assert len(active) == len(set(active))
