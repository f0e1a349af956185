"""From the outcomes of single records to figures with intervals. Pure and repeatable.

Intervals are percentiles of 2,000 bootstrap samples over the records, drawn alike for base and
adapter: what is hard for both does not widen them. The generator's seed is fixed. Of fewer than
ten records nothing is said: a few that agree by chance would look certain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SAMPLES = 2000
FEWEST = 10
LOW, HIGH = 2.5, 97.5
SEED = 0

Floats = NDArray[np.float64]
Better = Literal["base", "adapter"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record, answered and scored by one of the two."""

    is_exact: bool
    logprob: float
    """Natural logarithm, of the whole reference answer."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of both; ``low`` and ``high`` bound adapter minus base; None: not known."""

    base: float
    adapter: float
    higher_is_better: bool
    low: float | None
    high: float | None

    @property
    def difference(self) -> float:
        return self.adapter - self.base

    @property
    def better(self) -> Better | None:
        """Which one is, where the interval leaves no doubt."""
        if self.low is None or self.high is None or not (self.low > 0 or self.high < 0):
            return None
        return "adapter" if (self.low > 0) == self.higher_is_better else "base"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on ``n`` records."""

    n: int
    exact_match: Figure
    perplexity: Figure


def figures_of(base: Sequence[Outcome], adapter: Sequence[Outcome]) -> Figures:
    """Of the same records in the same order, at least one."""
    both = _Columns(base), _Columns(adapter)
    everything = np.arange(len(base))
    draws = np.random.default_rng(SEED)
    samples = [draws.integers(0, len(base), len(base)) for _ in range(SAMPLES)]
    samples = samples if len(base) >= FEWEST else []
    return Figures(
        len(base),
        _figure([c.exact_match(everything) for c in both], _rates(both, samples), True),
        _figure([c.perplexity(everything) for c in both], _perplexities(both, samples), False),
    )


class _Columns:
    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._exact = np.array([each.is_exact for each in outcomes], dtype=np.float64)
        self._logprobs = np.array([each.logprob for each in outcomes], dtype=np.float64)
        self._tokens = np.array([each.tokens for each in outcomes], dtype=np.float64)

    def exact_match(self, rows: NDArray[np.int64]) -> float:
        return float(self._exact[rows].mean())

    def perplexity(self, rows: NDArray[np.int64]) -> float:
        """Of all tokens together, so that a long answer weighs as much as it is long."""
        with np.errstate(over="ignore"):  # impossible tokens: infinite is the truth
            return float(np.exp(-self._logprobs[rows].sum() / self._tokens[rows].sum()))


def _rates(both: tuple[_Columns, _Columns], samples: Sequence[NDArray[np.int64]]) -> Floats:
    base, adapter = both
    return np.array([adapter.exact_match(rows) - base.exact_match(rows) for rows in samples])


def _perplexities(both: tuple[_Columns, _Columns], samples: Sequence[NDArray[np.int64]]) -> Floats:
    base, adapter = both
    return np.array([adapter.perplexity(rows) - base.perplexity(rows) for rows in samples])


def _figure(values: Sequence[float], differences: Floats, higher_is_better: bool) -> Figure:
    base, adapter = values
    low = high = None
    if len(differences) and np.isfinite(differences).all():
        low, high = (float(each) for each in np.percentile(differences, [LOW, HIGH]))
    return Figure(base, adapter, higher_is_better, low, high)
