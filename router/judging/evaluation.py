"""Everything that is measured of a router, in one go; the figures that CI compares with."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

from router.judging import measures
from router.judging.hard import HardInput, hard_inputs
from router.judging.quality import Classifies, Quality, measure
from router.judging.replay import Replay
from router.judging.replay import conversations as replay
from router.judging.robustness import Typos, typos
from router.judging.speed import Timing, latency
from router.learning.exemplars import Exemplar

TYPO_SEED = 1

Progress = Callable[[str, float], None]
"""What is being done, and the part of the whole, 0..1."""


@dataclass(frozen=True)
class Evaluation:
    """What ``ailiance router eval`` found."""

    quality: Quality
    typos: Typos
    timings: tuple[Timing, ...]
    hard: tuple[HardInput, ...]
    conversations: Replay | None

    def figures(self) -> dict[str, float]:
        """Flat, rounded to 4 digits; names of durations end in ``_ms``. Leaves out what there
        was nothing to measure for.
        """
        every = _of_quality(self.quality) | _of_typos(self.typos) | _of_times(self)
        if self.conversations is not None:
            every |= _of_talks(self.conversations)
        return {name: round(float(value), 4) for name, value in every.items() if not isnan(value)}

    def as_dict(self) -> dict[str, Any]:
        """For JSON: None stands for NaN."""
        return measures.json_ready(asdict(self))


def evaluate(
    router: Classifies,
    prompts: Sequence[Exemplar],
    conversations: Path | None,
    on_progress: Progress,
) -> Evaluation:
    """Measure it all; ``prompts`` holds one at least. Raises RouterError for the conversations."""
    on_progress("prompts", 0.0)
    quality = measure(router, prompts)
    on_progress("conversations", 0.2)
    talks = None if conversations is None else replay(router, conversations)
    on_progress("typos", 0.3)
    typed = typos(router, prompts, TYPO_SEED)
    on_progress("hard inputs", 0.4)
    hard = tuple(hard_inputs(router))
    on_progress("latency", 0.5)
    timings = latency(router, prompts)
    on_progress("done", 1.0)
    return Evaluation(quality, typed, timings, hard, talks)


def _of_quality(quality: Quality) -> dict[str, float]:
    scope = quality.scope
    return {
        "count": quality.count,
        "accuracy": quality.accuracy,
        "accuracy_second": quality.accuracy_second,
        "macro_f1": quality.macro_f1,
        "macro_f1_second": quality.macro_f1_second,
        "language_gap": quality.language_gap,
        "out_of_domain_recall": scope.recall,
        "out_of_domain_recall_at_95": scope.recall_at_coverage,
        "out_of_domain_auroc": scope.auroc,
        "false_abstention": scope.false_abstention,
        "wrong_domain": scope.wrong_domain,
        "calibration_error": quality.calibration_error,
        **{f"macro_f1.{part.name}": part.macro_f1 for part in quality.languages if part.name},
        **{f"f1.{label.name}": label.f1 for label in quality.labels},
    }


def _of_typos(typed: Typos) -> dict[str, float]:
    return {
        "typo_accuracy": typed.accuracy,
        "typo_macro_f1": typed.macro_f1,
        "typo_cost": typed.cost,
    }


def _of_times(evaluation: Evaluation) -> dict[str, float]:
    found = {"hard_worst_ms": max(each.milliseconds for each in evaluation.hard)}
    for timing in evaluation.timings:
        size = f"{timing.load.turns}x{timing.load.tokens}"
        found[f"cpu_p50_{size}_ms"] = timing.cpu_p50_ms
        found[f"cpu_p99_{size}_ms"] = timing.cpu_p99_ms
        found[f"wall_p99_{size}_ms"] = timing.wall_p99_ms
    return found


def _of_talks(talks: Replay) -> dict[str, float]:
    return {
        "turn_accuracy": talks.turn_accuracy,
        "conversations_right": talks.whole_share,
        "bounces": talks.bounces,
        "changes_right": measures.ratio(talks.changes_right, talks.changes),
    }
