"""Which domain, if any: a pure rule over probabilities and out-of-domain signals.

The rules, in their order; the first that holds decides:

1. nothing about any topic in the text                    -> out_of_domain
2. ``general`` leads the best domain by enough            -> out_of_domain
3. few known words and no strong probability              -> out_of_domain
4. the best domain is not probable enough                 -> low_confidence
5. the second domain is nearly as probable                -> ambiguous
6. otherwise                                              -> classified
"""

from dataclasses import dataclass

from router.decision import GENERAL, Decision, Reason
from router.head import Thresholds


@dataclass(frozen=True)
class Signals:
    """What the policy looks at."""

    scores: dict[str, float]  # adds up to 1, with "general"
    known_share: float  # 0..1
    has_topic: bool


def decide(signals: Signals, limits: Thresholds) -> Decision:
    """Name the domain, or abstain and say why."""
    ranked = sorted(
        ((chance, name) for name, chance in signals.scores.items() if name != GENERAL),
        key=lambda pair: (-pair[0], pair[1]),
    )
    best, name = ranked[0] if ranked else (0.0, "")
    second = ranked[1][0] if len(ranked) > 1 else 0.0
    reason = _reason(signals, best, second, limits)
    return Decision(
        domain=name if reason == "classified" else None,
        confidence=best,
        reason=reason,
        scores=dict(signals.scores),
    )


def _reason(signals: Signals, best: float, second: float, limits: Thresholds) -> Reason:
    unfamiliar = signals.known_share < limits.known_share and best < limits.unknown_confidence
    beaten = signals.scores.get(GENERAL, 0.0) >= best * limits.general_lead
    if not signals.has_topic or beaten or unfamiliar:
        return "out_of_domain"
    if best < limits.confidence:
        return "low_confidence"
    if best - second < limits.margin:
        return "ambiguous"
    return "classified"
