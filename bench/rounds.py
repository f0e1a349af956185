"""Rounds of interleaved measurements and their per-round ratios. No MLX, no HTTP.

Machines are noisy and drift: variants take turns within a round, each round starts with
another variant, and only figures of one round are divided by each other.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Sample = dict[str, float]
"""One measurement, metric -> figure. Rates are higher-is-better, ``_s`` are seconds."""
Measure = Callable[[], Sample]
Round = dict[str, Sample]


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float


def run_rounds(
    measures: Mapping[str, Measure], rounds: int, tell: Callable[[str], None]
) -> list[Round]:
    """``rounds`` of every variant, interleaved, after one round that is thrown away."""
    names = list(measures)
    kept: list[Round] = []
    for number in range(rounds + 1):
        turn = number % len(names)
        order = names[turn:] + names[:turn]
        result: Round = {}
        for name in order:
            tell(f"round {number}/{rounds}: {name}")
            result[name] = measures[name]()
        if number:
            kept.append({name: result[name] for name in names})
    return kept


def ratios(rounds: Sequence[Round], metric: str, variant: str, against: str) -> Spread:
    """``variant`` / ``against`` in ``metric``, round by round."""
    return _spread([r[variant][metric] / r[against][metric] for r in rounds])


def figures(rounds: Sequence[Round], metric: str, variant: str) -> Spread:
    """``variant``'s own figure in ``metric``, over the rounds."""
    return _spread([r[variant][metric] for r in rounds])


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))
