"""The sections of the report, each a list of lines of Markdown. Pure: no files, no clock."""

from collections.abc import Sequence
from math import isnan

from router.judging import pictures
from router.judging.evaluation import Evaluation
from router.judging.quality import Quality
from router.judging.speed import Timing
from router.judging.targets import Check, checks

MOST_DOMAINS = 15
MOST_CONFUSIONS = 8
MOST_HARD = 6
_TIMES = ("CPU p50", "CPU p99", "wall p50", "wall p99")

Rows = Sequence[Sequence[object]]


def targets(evaluation: Evaluation) -> list[str]:
    """Every target with its figure and verdict."""
    judged = checks(evaluation)
    low, high = evaluation.quality.macro_f1_interval
    rows = [_verdict(check) for check in judged]
    missed = [check.target.says for check in judged if check.met is False]
    met = sum(check.met is True for check in judged)
    return [
        f"{met} of {len(judged)} targets met. Missed: {'; '.join(missed) or 'none'}.",
        "",
        *table(("figure", "target", "measured", "verdict"), rows),
        "",
        "Strict: one label is right, an abstention counts as `general`. For 95 % of test sets "
        f"drawn like this one macro-F1 would lie between {_share(low)} and {_share(high)} "
        "(bootstrap).",
    ]


def _verdict(check: Check) -> tuple[str, str, str, str]:
    target = check.target
    sign = "≥" if target.at_least else "≤"
    value = "-" if check.value is None else f"{check.value:g}{target.unit}"
    word = {None: "not measured", True: "met", False: "**missed**"}[check.met]
    return target.says, f"{sign} {target.bound:g}{target.unit}", value, word


def domains(quality: Quality) -> list[str]:
    """Precision, recall and F1 of each domain; the weakest where there are many."""
    judged = [label for label in quality.labels if label.support]
    shown = sorted(judged, key=lambda label: label.f1)[:MOST_DOMAINS]
    rows = [
        (label.name, label.support, *map(_share, (label.precision, label.recall, label.f1)))
        for label in judged
        if label in shown
    ]
    total = ("**all**", quality.count, "", _share(quality.accuracy), _share(quality.macro_f1))
    second = (_share(quality.accuracy_second), _share(quality.macro_f1_second))
    reasons = ", ".join(f"{reason} {count}" for reason, count in quality.reasons.items())
    return [
        *table(("domain", "prompts", "precision", "recall", "F1"), [*rows, total]),
        "",
        "The last row has accuracy and macro-F1. With a prompt's second label right as well: "
        f"{second[0]} and {second[1]}. Reasons given: {reasons}."
        + (f" The {MOST_DOMAINS} weakest are shown." if len(judged) > MOST_DOMAINS else ""),
    ]


def confusions(quality: Quality, illustrated: bool) -> list[str]:
    """The most frequent mistakes, and the picture of all of them."""
    cells = [
        (count, truth, found)
        for truth, row in zip(quality.names, quality.confusion, strict=True)
        for found, count in zip(quality.names, row, strict=True)
        if truth != found and count
    ]
    worst = sorted(cells, key=lambda cell: -cell[0])[:MOST_CONFUSIONS]
    listed = ", ".join(f"{truth} → {found} {count}" for count, truth, found in worst)
    lines = [f"The most frequent, truth → decision: {listed or 'none'}."]
    picture = f"![Share of each domain's prompts by decision]({pictures.CONFUSION})"
    return [*lines, "", picture] if illustrated else lines


def parts(quality: Quality) -> list[str]:
    """By language and by length."""
    rows = [
        (part.name or "not said", part.count, _share(part.accuracy), _share(part.macro_f1))
        for part in (*quality.languages, *quality.lengths)
    ]
    return table(("prompts", "count", "accuracy", "macro-F1"), rows)


def scope(quality: Quality) -> list[str]:
    """What no domain claims."""
    scope = quality.scope
    rows = (
        ("recall of `general`, as decided", _share(scope.recall)),
        (
            "recall with the line under which 95 % of in-scope prompts stay",
            _share(scope.recall_at_coverage),
        ),
        ("AUROC of the out-of-domain score", _share(scope.auroc)),
        ("in-scope prompts that went to no domain", _share(scope.false_abstention)),
        ("in-scope prompts that went to a wrong domain", _share(scope.wrong_domain)),
    )
    return table((f"{scope.outside} prompts of `general`, {scope.inside} in scope", ""), rows)


def calibration(quality: Quality, illustrated: bool) -> list[str]:
    """Whether the probabilities are true."""
    rows = [
        (
            f"{each.low:.1f}-{each.high:.1f}",
            each.count,
            _share(each.confidence),
            _share(each.accuracy),
        )
        for each in quality.reliability
        if each.count
    ]
    lines = table(("probability", "prompts", "mean", "accuracy"), rows)
    lines += ["", "Of the most probable class, `general` included, before any threshold."]
    picture = f"![Accuracy by probability]({pictures.RELIABILITY})"
    return [*lines, "", picture] if illustrated else lines


def robustness(evaluation: Evaluation) -> list[str]:
    """Typos, then the hard inputs: the slowest in a table, the others in a line."""
    typed = evaluation.typos
    slowest = sorted(evaluation.hard, key=lambda each: -each.milliseconds)
    rows = [(each.name, f"{each.milliseconds:.2f}", each.reason) for each in slowest]
    others = "; ".join(f"{name} {took} ms, {reason}" for name, took, reason in rows[MOST_HARD:])
    return [
        "A typo in every fourth word (swapped, dropped, doubled or substituted letter): accuracy "
        f"{_share(typed.clean_accuracy)} → {_share(typed.accuracy)}, macro-F1 "
        f"{_share(typed.clean_macro_f1)} → {_share(typed.macro_f1)}.",
        "",
        *table(
            ("slowest inputs, new to the cache", "CPU ms, worst of 5", "reason"), rows[:MOST_HARD]
        ),
        *(["", f"The others: {others}."] if others else []),
    ]


def latency(evaluation: Evaluation) -> list[str]:
    """Durations of decisions without a cache."""
    rows = [(each.load.name, f"{each.load.calls:,}", *_times(each)) for each in evaluation.timings]
    return [
        *table(("text, new to the cache", "calls", *_TIMES), rows),
        "",
        "Milliseconds. CPU time is judged: wall time includes what else the machine was doing.",
    ]


def _times(timing: Timing) -> list[str]:
    each = (timing.cpu_p50_ms, timing.cpu_p99_ms, timing.wall_p50_ms, timing.wall_p99_ms)
    return [f"{milliseconds:.2f}" for milliseconds in each]


def conversations(evaluation: Evaluation) -> list[str]:
    """Whether the domain stays and changes where it should."""
    talks = evaluation.conversations
    if talks is None:
        return []
    rows = (
        ("turns with the right domain", f"{talks.right} of {talks.turns}"),
        ("conversations right in every turn", f"{talks.wholly_right} of {talks.conversations}"),
        ("bounces: the domain changed and should have stayed", f"{talks.bounces} of {talks.stays}"),
        ("changes of domain followed at once", f"{talks.changes_right} of {talks.changes}"),
    )
    return table(("replayed turn by turn", ""), rows)


def _share(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3f}"


def table(head: Sequence[str], rows: Rows) -> list[str]:
    """A table of Markdown."""
    ruler = "|" + "---|" * len(head)
    return [_row(head), ruler, *(_row(row) for row in rows)]


def _row(cells: Sequence[object]) -> str:
    plain = (" ".join(str(cell).replace("|", "\\|").split()) for cell in cells)
    return "| " + " | ".join(plain) + " |"
