"""How well a router decides labelled prompts, each asked alone. Decides and tunes nothing."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from router.decision import GENERAL, Decision, Turn
from router.judging import measures
from router.judging.measures import Bin, Flags, Labels
from router.learning.exemplars import Exemplar

SEED = 1
LENGTHS = (("1-6 words", 6), ("7-20 words", 20), ("21-60 words", 60))
LONGEST = "over 60 words"


class Classifies(Protocol):
    """What judging needs of a router."""

    @property
    def domains(self) -> Sequence[str]: ...

    def classify(self, turns: Sequence[Turn | tuple[str, str]], /) -> Decision: ...


@dataclass(frozen=True)
class Label:
    """One class; F1 is NaN where no prompt has it, precision where nothing was given it."""

    name: str
    support: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Part:
    """Some of the prompts: one language, or one range of lengths."""

    name: str
    count: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class Scope:
    """Telling what no domain claims (``general``) from what one does."""

    inside: int
    outside: int
    recall: float
    """Share of ``general`` prompts that went to no domain, as decided."""
    false_abstention: float
    """Share of in-scope prompts that went to no domain."""
    wrong_domain: float
    """Share of in-scope prompts that went to another domain than their own."""
    recall_at_coverage: float
    """Recall with the line on ``Decision.outlier`` under which 95 % of in-scope prompts stay."""
    auroc: float


@dataclass(frozen=True)
class Quality:
    """All that labelled prompts say about a router. NaN: there was nothing to measure.

    An abstention counts as ``general``. Strict figures know one right label; the ``_second``
    ones take a prompt's second label as right too. Macro-F1 is over labels that occur.
    """

    count: int
    accuracy: float
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    accuracy_second: float
    macro_f1_second: float
    names: tuple[str, ...]
    """Of the rows and columns of ``confusion``; ``general`` last."""
    confusion: tuple[tuple[int, ...], ...]
    labels: tuple[Label, ...]
    languages: tuple[Part, ...]
    lengths: tuple[Part, ...]
    scope: Scope
    calibration_error: float
    reliability: tuple[Bin, ...]
    reasons: dict[str, int]

    @property
    def language_gap(self) -> float:
        """Distance of the English macro-F1 and the French."""
        found = {part.name: part.macro_f1 for part in self.languages}
        return abs(found.get("en", measures.NOTHING) - found.get("fr", measures.NOTHING))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: None stands for NaN."""
        return measures.json_ready(asdict(self))


@dataclass(frozen=True)
class _Answers:
    prompts: Sequence[Exemplar]
    decisions: Sequence[Decision]
    names: tuple[str, ...]
    truth: Labels
    found: Labels


def measure(router: Classifies, prompts: Sequence[Exemplar]) -> Quality:
    """Ask the router every prompt by itself."""
    answers = _ask(router, prompts)
    truth, found, names = answers.truth, answers.found, answers.names
    seconds = _lenient(answers)
    matrix = measures.confusion(truth, found, len(names))
    bins = _reliability(answers)
    return Quality(
        count=len(prompts),
        accuracy=measures.share(truth == found),
        macro_f1=measures.macro_f1(truth, found),
        macro_f1_interval=measures.macro_f1_interval(truth, found, SEED),
        accuracy_second=measures.share(seconds == found),
        macro_f1_second=measures.macro_f1(seconds, found),
        names=names,
        confusion=tuple(tuple(map(int, row)) for row in matrix),
        labels=_labels(names, matrix),
        languages=_parts(answers, lambda prompt: prompt.lang),
        lengths=_parts(answers, _length_of),
        scope=_scope(answers),
        calibration_error=measures.calibration_error(bins),
        reliability=bins,
        reasons=dict(Counter(decision.reason for decision in answers.decisions).most_common()),
    )


def _ask(router: Classifies, prompts: Sequence[Exemplar]) -> _Answers:
    decisions = [router.classify([("user", prompt.text)]) for prompt in prompts]
    truth = [prompt.label for prompt in prompts]
    found = [decision.domain or GENERAL for decision in decisions]
    names = (*sorted({*router.domains, *truth, *found} - {GENERAL}), GENERAL)
    number = {name: at for at, name in enumerate(names)}
    return _Answers(
        prompts,
        decisions,
        names,
        np.array([number[name] for name in truth], np.int64),
        np.array([number[name] for name in found], np.int64),
    )


def _lenient(answers: _Answers) -> Labels:
    """The truth, replaced by the second label where that one was found."""
    number = {name: at for at, name in enumerate(answers.names)}
    also = np.array([number.get(prompt.also, -1) for prompt in answers.prompts], np.int64)
    return np.where(answers.found == also, answers.found, answers.truth)


def _labels(names: Sequence[str], matrix: Labels) -> tuple[Label, ...]:
    f1 = measures.f1_per_label(matrix)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return tuple(
        Label(
            name,
            int(support[at]),
            measures.ratio(int(matrix[at, at]), int(predicted[at])),
            measures.ratio(int(matrix[at, at]), int(support[at])),
            float(f1[at]),
        )
        for at, name in enumerate(names)
    )


def _parts(answers: _Answers, name_of: Callable[[Exemplar], str]) -> tuple[Part, ...]:
    named = np.array([name_of(prompt) for prompt in answers.prompts], np.str_)
    present = set(named.tolist())
    order = [name for name, _ in LENGTHS] + [LONGEST]
    ordered = [name for name in order if name in present] + sorted(present - {*order})
    return tuple(_part(answers, name, named == name) for name in ordered)


def _part(answers: _Answers, name: str, chosen: Flags) -> Part:
    truth, found = answers.truth[chosen], answers.found[chosen]
    return Part(name, len(truth), measures.share(truth == found), measures.macro_f1(truth, found))


def _length_of(prompt: Exemplar) -> str:
    words = len(prompt.text.split())
    return next((name for name, most in LENGTHS if words <= most), LONGEST)


def _scope(answers: _Answers) -> Scope:
    general = len(answers.names) - 1
    outside, abstained = answers.truth == general, answers.found == general
    scores = np.array([decision.outlier for decision in answers.decisions], np.float64)
    wrong = ~abstained & (answers.found != answers.truth)
    return Scope(
        inside=int(np.sum(~outside)),
        outside=int(np.sum(outside)),
        recall=measures.share(abstained[outside]),
        false_abstention=measures.share(abstained[~outside]),
        wrong_domain=measures.share(wrong[~outside]),
        recall_at_coverage=measures.recall_at_coverage(scores[~outside], scores[outside]),
        auroc=measures.auroc(scores[~outside], scores[outside]),
    )


def _reliability(answers: _Answers) -> tuple[Bin, ...]:
    """Of the most probable class, ``general`` included, against the one right label."""
    tops = [max(decision.scores, key=decision.scores.__getitem__) for decision in answers.decisions]
    confidence = [
        decision.scores[top] for decision, top in zip(answers.decisions, tops, strict=True)
    ]
    right = [top == prompt.label for top, prompt in zip(tops, answers.prompts, strict=True)]
    return measures.reliability(np.array(confidence, np.float64), np.array(right, np.bool_))
