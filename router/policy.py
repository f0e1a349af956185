"""Which domain, if any: a pure rule over probabilities and out-of-domain signals.

The rules, in their order; the first that holds decides:

1. nothing that training knows in the text                -> out_of_domain
2. the out-of-domain score reaches its threshold          -> out_of_domain
3. the best domain is below its own threshold             -> low_confidence
4. the second domain is nearly as probable                -> ambiguous
5. otherwise                                              -> classified

A conversation adds ``sticky`` (talk/track.py); the gateway adds ``explicit``,
``quarantined`` and ``evidence``.
"""

from dataclasses import dataclass, field

from router.decision import GENERAL, Decision, Reason

RULES = {
    1: "nothing that training knows stands in the text",
    2: "the out-of-domain score reaches its threshold",
    3: "the best domain is below its own threshold",
    4: "the second domain is nearly as probable",
    5: "the best domain is above its threshold and ahead of the others",
}
"""What each rule says, for explanations."""

_REASONS: dict[int, Reason] = {
    1: "out_of_domain",
    2: "out_of_domain",
    3: "low_confidence",
    4: "ambiguous",
    5: "classified",
}


@dataclass(frozen=True)
class Thresholds:
    """Where the policy draws its lines; chosen on dev by fit."""

    outlier: float = 0.5
    margin: float = 0.05
    any_domain: float = 0.3
    per_domain: dict[str, float] = field(default_factory=dict[str, float])

    def of(self, domain: str) -> float:
        """The least probability with which a domain is chosen."""
        return self.per_domain.get(domain, self.any_domain)


@dataclass(frozen=True)
class Signals:
    """What the policy looks at."""

    scores: dict[str, float]  # adds up to 1, with "general"
    outlier: float  # 0..1
    has_topic: bool


@dataclass(frozen=True)
class Ranking:
    """The two most probable domains; names are empty and chances 0 where there is none."""

    best: str
    best_chance: float
    second: str
    second_chance: float


def rank(scores: dict[str, float]) -> Ranking:
    """The leading domains, ``general`` left out; a tie goes by the alphabet."""
    ranked = sorted(
        ((chance, name) for name, chance in scores.items() if name != GENERAL),
        key=lambda pair: (-pair[0], pair[1]),
    )
    ranked += [(0.0, "")] * 2
    return Ranking(ranked[0][1], ranked[0][0], ranked[1][1], ranked[1][0])


def rule_of(signals: Signals, limits: Thresholds) -> int:
    """The number of the rule that decides."""
    ranking = rank(signals.scores)
    if not signals.has_topic:
        return 1
    if signals.outlier >= limits.outlier:
        return 2
    if not ranking.best or ranking.best_chance < limits.of(ranking.best):
        return 3
    if ranking.best_chance - ranking.second_chance < limits.margin:
        return 4
    return 5


def decide(signals: Signals, limits: Thresholds) -> Decision:
    """Name the domain, or abstain and say why."""
    ranking, rule = rank(signals.scores), rule_of(signals, limits)
    return Decision(
        domain=ranking.best if rule == 5 else None,
        confidence=ranking.best_chance,
        reason=_REASONS[rule],
        scores=dict(signals.scores),
        outlier=signals.outlier,
    )
