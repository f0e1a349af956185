"""The policy's rules as a table: what was measured, against which limit, and whether it held."""

from collections.abc import Sequence
from dataclasses import dataclass

from router import Router
from router.decision import Decision, Topic
from router.policy import RULES, Signals, Thresholds, decide, rank, rule_of
from router.reading.head import Reading
from router.talk import track
from router.talk import turns as talk
from router.talk.track import Step, follow


@dataclass(frozen=True)
class Check:
    """One numbered rule on one reading."""

    rule: int
    sentence: str
    measured: str
    value: float
    sign: str
    limit: float
    held: bool
    decides: bool


def checks(router: Router, reading: Reading) -> list[Check]:
    """All numbered rules, in their order; the first that held decides."""
    signals, limits = router.signals(reading), router.weights.thresholds
    top, decides = rank(signals.scores), rule_of(signals, limits)
    lead = top.best_chance - top.second_chance
    least = limits.of(top.best)
    measured = [
        ("known", reading.known_share, "<=", 0.0, not signals.has_topic),
        ("outlier", signals.outlier, ">=", limits.outlier, signals.outlier >= limits.outlier),
        ("best", top.best_chance, "<", least, not top.best or top.best_chance < least),
        ("lead", lead, "<", limits.margin, lead < limits.margin),
        ("best", top.best_chance, ">=", least, decides == 5),
    ]
    return [
        Check(number, RULES[number], *row, decides=number == decides)
        for number, row in enumerate(measured, 1)
    ]


def sentence_of(rule: str) -> str:
    """What a rule says: a number of the policy, a letter of conversations, or a plain word."""
    if rule.isdigit():
        return RULES[int(rule)]
    others = {
        "housekeeping": "recognised as a client's own errand, such as making a title",
        "no text": "no text of the user to read",
    }
    return others[rule] if rule in others else track.RULES[rule]


def replay(
    router: Router, readings: Sequence[Reading], earlier: Topic | None, limits: Thresholds
) -> Decision:
    """What the router would have decided with other limits; readings are newest first."""
    steps: list[Step] = []
    for at in reversed(range(len(readings))):
        so_far = readings[at:]
        alone = decide(router.signals(so_far[0]), limits)
        combined = decide(router.signals(talk.combine(so_far)), limits)
        steps.append(Step(alone, combined, so_far[0].follow_up))
    return follow(steps, earlier)[0]


def relaxed(signals: Signals, limits: Thresholds) -> tuple[Thresholds, str] | None:
    """Limits that let the signals pass what stopped them, in numbers and words.

    None: no limit stopped them.
    """
    top, rule = rank(signals.scores), rule_of(signals, limits)
    lead = top.best_chance - top.second_chance
    margin, each = limits.margin, dict(limits.per_domain)
    outlier = limits.outlier
    if rule == 2:
        value = signals.outlier
        missed = f"outlier {value:.4f} >= {outlier:.4f}: with a limit above {value:.4f}"
        outlier = signals.outlier + 1e-9
    elif rule == 3 and top.best:
        value = each[top.best] = top.best_chance
        least = limits.of(top.best)
        missed = f"{top.best} {value:.4f} < {least:.4f}: with a limit up to {value:.4f}"
    elif rule == 4:
        missed = f"lead over {top.second} {lead:.4f} < {margin:.4f}: with a limit up to {lead:.4f}"
        margin = lead
    else:
        return None
    return Thresholds(outlier, margin, limits.any_domain, each), missed
