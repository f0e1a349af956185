"""The figures that the router is meant to reach, and whether it did."""

from dataclasses import dataclass

from router.judging.evaluation import Evaluation


@dataclass(frozen=True)
class Target:
    """A bound on one of ``Evaluation.figures()``, with what it says and its unit."""

    figure: str
    says: str
    bound: float
    at_least: bool = False
    unit: str = ""

    def is_met(self, value: float) -> bool:
        """Judges the rounded figure, which is the one that readers see."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Check:
    """A target, the figure, and the verdict; None where there was nothing to measure."""

    target: Target
    value: float | None
    met: bool | None


TARGETS = (
    Target("macro_f1", "macro-F1, strict", 0.93, at_least=True),
    Target("language_gap", "English and French macro-F1 apart", 0.03),
    Target("out_of_domain_recall_at_95", "out-of-domain recall at 95 % coverage", 0.85, True),
    Target("calibration_error", "expected calibration error", 0.05),
    Target("typo_cost", "what typos cost (the worse of accuracy and macro-F1)", 0.04),
    Target("cpu_p99_1x64_ms", "64 tokens, p99 of CPU time", 2.0, unit=" ms"),
    Target("cpu_p99_1x2000_ms", "2,000 tokens, p99 of CPU time", 5.0, unit=" ms"),
    Target("hard_worst_ms", "the slowest hard input, CPU time", 20.0, unit=" ms"),
)


def checks(evaluation: Evaluation) -> list[Check]:
    """Every target with its verdict."""
    figures = evaluation.figures()
    return [_check(target, figures.get(target.figure)) for target in TARGETS]


def _check(target: Target, value: float | None) -> Check:
    return Check(target, value, None if value is None else target.is_met(value))
