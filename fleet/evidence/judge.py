"""Whether an adapter's results meet its rule. Pure: what day it is, and which version of the
adapter is served, come in as arguments."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from fleet.evidence.results import Evaluation
from fleet.evidence.rule import TURNED, Any, Comparison, Rule, comparisons, parse_rule
from fleet.schema import Adapter, Fleet


@dataclass(frozen=True, slots=True)
class Unmet:
    """An adapter's rule that its results don't meet."""

    rule: str
    found: str
    """Why, in words: ``humaneval 0.853 < base 0.870``."""


def unmet(
    fleet: Fleet, adapter: Adapter, today: date | None = None, digest: str | None = None
) -> Unmet | None:
    """What keeps an adapter from being chosen; None: nothing, or there is no rule.

    ``today`` None: results of any age count. ``digest``: of the version that is served; None:
    not known, results of any version count.
    """
    text = rule_of(fleet, adapter)
    if text is None:
        return None
    results = _Results(adapter, digest, today, fleet.evidence.max_age_days)
    faults = _faults(parse_rule(text), results)
    return Unmet(text, "; ".join(dict.fromkeys(faults))) if faults else None


def rule_of(fleet: Fleet, adapter: Adapter) -> str | None:
    """The rule that counts: the adapter's own, else the fleet's."""
    return adapter.serve_if if adapter.serve_if is not None else fleet.evidence.serve_if


def newest(adapter: Adapter, benchmark: str, digest: str | None = None) -> Evaluation | None:
    """The result that counts: the newest; of one day the last of the file.

    None of another version than ``digest`` does.
    """
    found = [each for each in _of(adapter, benchmark) if each.is_of(digest) is not False]
    return max(reversed(found), key=lambda each: each.date, default=None)


def wrong_way(fleet: Fleet, adapter: Adapter) -> str | None:
    """What is wrong with a rule that asks for a worse result than the base's, and the mend."""
    for asked in comparisons(parse_rule(rule_of(fleet, adapter) or "always")):
        result = newest(adapter, asked.benchmark)
        if result is None or not asked.bound.is_base:
            continue
        if result.higher_is_better != (asked.operator in (">=", ">")):
            better = "higher" if result.higher_is_better else "lower"
            return (
                f"'{asked.benchmark} {asked.operator} {asked.bound}' asks for a worse result than "
                f"the base's: of {asked.benchmark}, {better} is better; turn it round, or correct "
                "'higher_is_better' of the result"
            )
    return None


def _of(adapter: Adapter, benchmark: str) -> list[Evaluation]:
    return [each for each in adapter.evaluation if each.benchmark == benchmark]


@dataclass(frozen=True, slots=True)
class _Results:
    adapter: Adapter
    digest: str | None
    today: date | None
    age_days: int | None

    def fault(self, asked: Comparison) -> str | None:
        """Why a comparison does not hold; None: it does."""
        result = newest(self.adapter, asked.benchmark, self.digest)
        if result is None:
            return f"{asked.benchmark}: {self._missing(asked.benchmark)}"
        if self._is_old(result):
            return (
                f"{asked.benchmark}: the result of {result.date} is older than {self.age_days} days"
            )
        return _compare(asked, result)

    def _missing(self, benchmark: str) -> str:
        other = newest(self.adapter, benchmark)
        if other is None or other.digest is None:
            return "no result"
        return (
            f"the result of {other.date} is of another version ({other.digest[:12]}, served is "
            f"{(self.digest or '')[:12]})"
        )

    def _is_old(self, result: Evaluation) -> bool:
        if self.today is None or self.age_days is None:
            return False
        return (self.today - result.date).days > self.age_days


def _faults(rule: Rule, results: _Results) -> list[str]:
    """What does not hold: nothing for a rule that is met, at least one thing for any other."""
    if isinstance(rule, Comparison):
        fault = results.fault(rule)
        return [] if fault is None else [fault]
    parts = [_faults(part, results) for part in rule.parts]
    holds = isinstance(rule, Any) and not all(parts)
    return [] if holds else [fault for part in parts for fault in part]


def _compare(asked: Comparison, result: Evaluation) -> str | None:
    value, limit = _exact(result.adapter), asked.bound.offset
    if asked.bound.is_base:
        limit += _exact(result.base)
    holds = {
        ">=": value >= limit,
        ">": value > limit,
        "<=": value <= limit,
        "<": value < limit,
    }[asked.operator]
    if holds:
        return None
    against = _text(limit, value)
    if asked.bound.is_base:
        against = f"{asked.bound} {'= ' if asked.bound.offset else ''}{against}"
    return f"{asked.benchmark} {_text(value, limit)} {TURNED[asked.operator]} {against}"


def _exact(value: float) -> Decimal:
    """As it is written in the file, not as it is stored: 0.1 + 0.2 is 0.3."""
    return Decimal(repr(value))


def _text(value: Decimal, other: Decimal) -> str:
    """Three decimals, or as many as tell the two apart."""
    if value == other or f"{value:.3f}" != f"{other:.3f}":
        return f"{value:.3f}"
    return f"{value.normalize():f}"
