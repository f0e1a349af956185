"""The routing rules as tables."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.evidence.judge import Unmet
from fleet.names import Auto, Explicit, Names
from gateway.provenance import MAX_WARNING, header_text
from gateway.routing import Judged, Lacking, Route, find_target, plan_route
from router.decision import Decision
from tests.gateway.harness import FLEET, make_fleet
from wire.errors import InvalidRequest, ModelNotFound

FLEET_OBJECT = make_fleet()
NAMES = Names(FLEET_OBJECT)


def decided(domain: str | None, reason: str = "classified") -> Decision:
    return Decision(domain, 0.9, reason, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "decision", "route"),
    [
        (Explicit("apertus", None), None, Route("apertus", None, "explicit")),
        (
            Explicit("apertus", "power"),
            None,
            Route("apertus", "power", "explicit", warning="quarantined: loops"),
        ),
        (
            Auto(None),
            decided("electronics"),
            Route("apertus", "electronics", "classified", "electronics", 0.9),
        ),
        (Auto(None), decided("python"), Route("devstral", "python", "classified", "python", 0.9)),
        (
            Auto(None),
            decided("python", "sticky"),
            Route("devstral", "python", "sticky", "python", 0.9),
        ),
        (Auto(None), decided("power"), Route("apertus", None, "quarantined", "power", 0.9)),
        (Auto(None), decided("music"), Route("apertus", None, "out_of_domain", "music", 0.9)),
        (
            Auto(None),
            decided(None, "low_confidence"),
            Route("apertus", None, "low_confidence", None, 0.9),
        ),
        (
            Auto("devstral"),
            decided(None, "ambiguous"),
            Route("devstral", None, "ambiguous", None, 0.9),
        ),
        (
            Auto("devstral"),
            decided("electronics"),
            Route("devstral", None, "out_of_domain", "electronics", 0.9),
        ),
        (
            Auto("devstral"),
            decided("python"),
            Route("devstral", "python", "classified", "python", 0.9),
        ),
        (Auto("apertus"), decided("power"), Route("apertus", None, "quarantined", "power", 0.9)),
    ],
)
def test_route(target, decision, route):
    assert plan_route(target, decision, Judged(FLEET_OBJECT)) == route


def test_active_adapter_elsewhere_wins_over_a_quarantined_one():
    adapters = FLEET["adapters"] | {
        "power2": {"base": "devstral", "source": "demo/p2", "domain": "power"}
    }
    fleet = make_fleet(adapters=adapters)
    assert plan_route(Auto(None), decided("power"), Judged(fleet)).adapter == "power2"
    assert plan_route(Auto("apertus"), decided("power"), Judged(fleet)).reason == "quarantined"


RULE = "humaneval >= base"
WORSE = {"benchmark": "humaneval", "base": 0.87, "adapter": 0.853}
FOUND = "humaneval 0.853 < base 0.870"


def measured(name: str, **changes: Any) -> dict[str, Any]:
    """The fleet's adapters, one of them measured worse than its base."""
    result = WORSE | {"date": "2026-05-06", "source": "report.md"} | changes
    entry = FLEET["adapters"][name] | {"evaluation": [result], "serve_if": RULE}
    return FLEET["adapters"] | {name: entry}


def test_evidence_that_is_met_changes_nothing():
    fleet = make_fleet(adapters=measured("python", adapter=0.87))
    for target in (Auto(None), Explicit("devstral", "python")):
        decision = decided("python")
        assert plan_route(target, decision, Judged(fleet)) == plan_route(
            target, decision, Judged(FLEET_OBJECT)
        )


@pytest.mark.parametrize("base", [None, "devstral"])
def test_an_adapter_worse_than_its_base_is_not_chosen(base):
    fleet = make_fleet(adapters=measured("python"))
    lacking = Lacking("python", Unmet(RULE, FOUND))
    assert plan_route(Auto(base), decided("python"), Judged(fleet)) == Route(
        "devstral", None, "evidence", "python", 0.9, lacking=lacking
    )
    assert lacking.body() == {"adapter": "python", "rule": RULE, "found": FOUND}


def test_it_still_serves_by_name_and_says_so():
    fleet = make_fleet(adapters=measured("python"))
    assert plan_route(Explicit("devstral", "python"), None, Judged(fleet)) == Route(
        "devstral", "python", "explicit", warning=f"evidence: {FOUND}"
    )
    assert plan_route(Explicit("devstral", None), None, Judged(fleet)).warning is None


def test_another_base_with_evidence_answers_instead():
    other = {"base": "apertus", "source": "demo/y2", "domain": "python"}
    adapters = measured("python") | {"python2": other}
    route = plan_route(
        Auto(None), decided("python", "sticky"), Judged(make_fleet(adapters=adapters))
    )
    assert (route.adapter, route.reason, route.lacking) == ("python2", "sticky", None)
    quarantined = adapters | {"python2": other | {"status": "quarantined", "reason": "loops"}}
    route = plan_route(Auto(None), decided("python"), Judged(make_fleet(adapters=quarantined)))
    assert (route.base, route.adapter, route.reason) == ("devstral", None, "evidence")


def test_a_rule_for_all_stops_what_was_never_measured():
    fleet = make_fleet(evidence={"serve_if": RULE})
    route = plan_route(Auto(None), decided("electronics"), Judged(fleet))
    assert route.lacking == Lacking("electronics", Unmet(RULE, "humaneval: no result"))


def test_evidence_ages_only_where_the_day_is_known():
    fleet = make_fleet(adapters=measured("python", adapter=0.9), evidence={"max_age_days": 30})
    for today, reason in (
        (None, "classified"),
        (date(2026, 6, 5), "classified"),
        (date(2026, 6, 6), "evidence"),
    ):
        assert plan_route(Auto(None), decided("python"), Judged(fleet, today)).reason == reason


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("loops", "quarantined: loops"),
        ("two\n  lines\t", "quarantined: two lines"),
        ("répète la requête « user »", "quarantined: repete la requete ? user ?"),
        ("日本", "quarantined: ??"),
        ("x" * 500, f"quarantined: {'x' * 184}..."),
    ],
)
def test_a_warning_fits_a_header(reason, words):
    power = FLEET["adapters"]["power"] | {"reason": reason}
    fleet = make_fleet(adapters=FLEET["adapters"] | {"power": power})
    warning = plan_route(Explicit("apertus", "power"), None, Judged(fleet)).warning
    assert warning == f"quarantined: {' '.join(reason.split())}"
    assert header_text(warning) == words


@given(st.text())
def test_any_warning_is_a_sound_header(text):
    shown = header_text(text)
    assert shown.isascii()
    assert not shown or shown.isprintable()
    assert shown == shown.strip()
    assert len(shown) <= MAX_WARNING


@pytest.mark.parametrize(
    ("model", "adapters", "target"),
    [
        ("ailiance", None, Auto(None)),
        ("gpt-4o", None, Auto(None)),
        ("amp", None, Explicit("apertus", "electronics")),
        ("ailiance-apertus:electronics", None, Explicit("apertus", "electronics")),
        ("apertus:power", None, Explicit("apertus", "power")),
        ("ailiance-apertus", "electronics", Explicit("apertus", "electronics")),
        ("ailiance", "demo/y", Explicit("devstral", "python")),
        ("ailiance-apertus-auto", "ailiance-apertus-power", Explicit("apertus", "power")),
        (
            "ailiance-apertus-electronics",
            "electronics",
            Explicit("apertus", "electronics"),
        ),
    ],
)
def test_target(model, adapters, target):
    assert find_target(NAMES, FLEET_OBJECT, model, adapters) == target


@pytest.mark.parametrize(
    ("model", "adapters", "error", "param"),
    [
        ("nope", None, ModelNotFound, "model"),
        ("ailiance-apertus:python", None, ModelNotFound, "model"),
        ("ailiance", "/etc/passwd", ModelNotFound, "adapters"),
        ("ailiance-apertus", "python", InvalidRequest, "adapters"),
        ("ailiance-apertus-power", "electronics", InvalidRequest, "adapters"),
    ],
)
def test_target_refused(model, adapters, error, param):
    with pytest.raises(error) as caught:
        find_target(NAMES, FLEET_OBJECT, model, adapters)
    assert caught.value.param == param


def test_unknown_model_hints_at_a_close_name():
    with pytest.raises(ModelNotFound, match="did you mean 'ailiance-apertus-electronics'"):
        find_target(NAMES, FLEET_OBJECT, "ailiance-apertus-electronic", None)
