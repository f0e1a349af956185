"""The decision rules as tables."""

import pytest

from router.head import Thresholds
from router.policy import Signals, decide

LIMITS = Thresholds(
    confidence=0.4, general_lead=1.0, margin=0.1, known_share=0.3, unknown_confidence=0.7
)


def signals(emc: float, power: float, general: float, known: float = 1.0, topic: bool = True):
    return Signals({"emc": emc, "power": power, "general": general}, known, topic)


@pytest.mark.parametrize(
    ("seen", "domain", "reason"),
    [
        (signals(0.8, 0.1, 0.1), "emc", "classified"),
        (signals(0.1, 0.8, 0.1), "power", "classified"),
        (signals(0.1, 0.2, 0.7), None, "out_of_domain"),
        (signals(0.45, 0.1, 0.45), None, "out_of_domain"),
        (signals(0.38, 0.3, 0.32), None, "low_confidence"),
        (signals(0.45, 0.42, 0.13), None, "ambiguous"),
        (signals(0.6, 0.2, 0.2, known=0.1), None, "out_of_domain"),
        (signals(0.9, 0.05, 0.05, known=0.1), "emc", "classified"),
        (signals(0.9, 0.05, 0.05, topic=False), None, "out_of_domain"),
        (signals(0.35, 0.33, 0.32), None, "low_confidence"),
    ],
)
def test_rules(seen: Signals, domain: str | None, reason: str) -> None:
    decision = decide(seen, LIMITS)
    assert (decision.domain, decision.reason) == (domain, reason)
    assert decision.confidence == max(seen.scores["emc"], seen.scores["power"])
    assert decision.scores == seen.scores


def test_a_tie_does_not_go_to_the_first_label() -> None:
    assert decide(signals(0.45, 0.45, 0.1), LIMITS).reason == "ambiguous"


def test_only_general_never_names_a_domain() -> None:
    assert decide(Signals({"general": 1.0}, 1.0, True), LIMITS).domain is None
