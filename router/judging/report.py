"""An evaluation -> ``router-report.md`` with two pictures. Measures nothing.

At most 150 lines. It names the machine's processor, never its name or its paths.
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from router.errors import RouterError
from router.judging import pictures, sections
from router.judging.evaluation import Evaluation
from router.judging.quality import Quality

REPORT = "router-report.md"
NO_PICTURES = "no pictures without matplotlib: pip install 'ailiance-gateway[report]'"


Draws = Callable[[Path, Quality], tuple[Path, ...]]


@dataclass(frozen=True)
class Written:
    """The files, and what to tell the person who asked for them (empty: nothing)."""

    paths: tuple[Path, ...]
    hint: str = ""


def write(
    folder: Path,
    evaluation: Evaluation,
    about: Mapping[str, object],
    notes: Sequence[str] = (),
    draw: Draws = pictures.draw,
) -> Written:
    """Write the report, and the pictures where matplotlib is installed. Raises RouterError.

    ``about`` says what was measured, a row per key, in its order: router digest, exemplars,
    authors of the prompts, command, date. ``notes`` say how far to trust the figures.
    """
    path = folder / REPORT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = draw(folder, evaluation.quality)
        path.write_text(text_of(evaluation, about, notes, bool(drawn)), encoding="utf-8")
    except OSError as error:
        raise RouterError(path, f"can't be written ({error.strerror})") from None
    return Written((path, *drawn), "" if drawn else NO_PICTURES)


def text_of(
    evaluation: Evaluation, about: Mapping[str, object], notes: Sequence[str], illustrated: bool
) -> str:
    """The report in Markdown."""
    quality = evaluation.quality
    parts = [
        ["# The router, measured", "", "Written by `ailiance router eval`; do not edit."],
        _section("What was measured", _about(evaluation, about)),
        _section("Against the targets", sections.targets(evaluation)),
        _section("Domains", sections.domains(quality)),
        _section("Confusions", sections.confusions(quality, illustrated)),
        _section("Languages and lengths", sections.parts(quality)),
        _section("Out of domain", sections.scope(quality)),
        _section("Calibration", sections.calibration(quality, illustrated)),
        _section("Typos and hard inputs", sections.robustness(evaluation)),
        _section("Latency", sections.latency(evaluation)),
        _section("Conversations", sections.conversations(evaluation)),
        _section("How far to trust this", [f"- {note}" for note in notes]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def machine() -> str:
    """Processor, cores and versions: what durations depend on. Not the machine's name."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _about(evaluation: Evaluation, about: Mapping[str, object]) -> list[str]:
    languages = ", ".join(f"{part.count} {part.name}" for part in evaluation.quality.languages)
    rows = [(key, value) for key, value in about.items()]
    rows.append(("prompts", f"{evaluation.quality.count} ({languages})"))
    if (talks := evaluation.conversations) is not None:
        rows.append(("conversations", f"{talks.conversations}, {talks.turns} turns"))
    rows.append(("machine", machine()))
    return sections.table(("", ""), rows)
