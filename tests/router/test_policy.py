"""The decision rules as tables."""

import pytest

from router.policy import RULES, Signals, Thresholds, decide, rank, rule_of

LIMITS = Thresholds(outlier=0.7, margin=0.1, any_domain=0.4, per_domain={"power": 0.6})


def signals(emc: float, power: float, general: float, outlier: float = 0.1, topic: bool = True):
    return Signals({"emc": emc, "power": power, "general": general}, outlier, topic)


@pytest.mark.parametrize(
    ("seen", "rule", "domain", "reason"),
    [
        (signals(0.8, 0.1, 0.1), 5, "emc", "classified"),
        (signals(0.1, 0.8, 0.1), 5, "power", "classified"),
        (signals(0.8, 0.1, 0.1, topic=False), 1, None, "out_of_domain"),
        (signals(0.8, 0.1, 0.1, outlier=0.7), 2, None, "out_of_domain"),
        (signals(0.8, 0.1, 0.1, outlier=0.69), 5, "emc", "classified"),
        (signals(0.39, 0.2, 0.41), 3, None, "low_confidence"),
        (signals(0.1, 0.55, 0.35), 3, None, "low_confidence"),  # power's own line is higher
        (signals(0.55, 0.1, 0.35), 5, "emc", "classified"),
        (signals(0.45, 0.42, 0.13), 4, None, "ambiguous"),
    ],
)
def test_rules(seen: Signals, rule: int, domain: str | None, reason: str) -> None:
    decision = decide(seen, LIMITS)
    assert rule_of(seen, LIMITS) == rule
    assert rule in RULES
    assert (decision.domain, decision.reason) == (domain, reason)
    assert decision.confidence == max(seen.scores["emc"], seen.scores["power"])
    assert (decision.scores, decision.outlier) == (seen.scores, seen.outlier)


def test_a_tie_does_not_go_to_the_first_label() -> None:
    assert decide(signals(0.45, 0.45, 0.1), LIMITS).reason == "ambiguous"


def test_only_general_never_names_a_domain() -> None:
    decision = decide(Signals({"general": 1.0}, 0.0, True), LIMITS)
    assert (decision.domain, decision.confidence) == (None, 0.0)


def test_ranking_of_one_domain_has_no_second() -> None:
    ranking = rank({"emc": 0.7, "general": 0.3})
    assert (ranking.best, ranking.second, ranking.second_chance) == ("emc", "", 0.0)
