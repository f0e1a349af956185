"""The routing rules as tables."""

import pytest

from fleet.names import Auto, Explicit, Names
from gateway.routing import Route, find_target, plan_route
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
        (Explicit("apertus", "power"), None, Route("apertus", "power", "explicit")),
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
    assert plan_route(target, decision, FLEET_OBJECT) == route


def test_active_adapter_elsewhere_wins_over_a_quarantined_one():
    adapters = FLEET["adapters"] | {
        "power2": {"base": "devstral", "source": "demo/p2", "domain": "power"}
    }
    fleet = make_fleet(adapters=adapters)
    assert plan_route(Auto(None), decided("power"), fleet).adapter == "power2"
    assert plan_route(Auto("apertus"), decided("power"), fleet).reason == "quarantined"


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
