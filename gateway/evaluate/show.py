"""A measurement as a table for people, as JSON for programs, as results for the fleet file."""

import math
import re
from dataclasses import asdict
from datetime import date
from typing import Any

from fleet.evidence.results import Evaluation, is_digest
from gateway.evaluate.figures import Figure
from gateway.evaluate.measure import Measured

DIGITS = 4  # of what the fleet file keeps


def table(measured: Measured, source: str) -> str:
    """What was measured on what, then a line for each measure."""
    pair, figures = measured.pair, measured.figures
    digest = f" ({measured.adapter_digest[:12]})" if measured.adapter_digest else ""
    rows = [
        ("", "base", "adapter", "difference", "95 % interval", "better"),
        _row("exact match", figures.exact_match),
        _row("perplexity", figures.perplexity),
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    head = f"{source}: {figures.n} records, {pair.adapter.model}{digest} and {pair.base.model}\n"
    return head + "".join(_line(row, widths) for row in rows)


def as_json(measured: Measured, source: str) -> dict[str, Any]:
    """All of it; what is infinite is null."""
    figures = measured.figures
    measures = {"exact_match": figures.exact_match, "perplexity": figures.perplexity}
    return {
        "source": source,
        "n": figures.n,
        "base": {"model": measured.pair.base.model, "digest": measured.base_digest},
        "adapter": {"model": measured.pair.adapter.model, "digest": measured.adapter_digest},
        "measures": {name: _body(figure) for name, figure in measures.items()},
    }


def results(measured: Measured, name: str, source: str, today: date) -> list[Evaluation]:
    """For the fleet file: exact match under ``name``, perplexity under ``name_perplexity``.

    They hold for the version that was measured, where its server told a digest.
    """
    figures, digest = measured.figures, measured.adapter_digest
    found = [(name, figures.exact_match), (f"{name}_perplexity", figures.perplexity)]
    return [
        Evaluation(
            benchmark=benchmark,
            base=round(figure.base, DIGITS),
            adapter=round(figure.adapter, DIGITS),
            date=today,
            source=source,
            n=figures.n,
            higher_is_better=figure.higher_is_better,
            digest=digest if digest and is_digest(digest) else None,
        )
        for benchmark, figure in found
        if math.isfinite(figure.base) and math.isfinite(figure.adapter)
    ]


def benchmark_name(stem: str) -> str:
    """A file's name as that of a benchmark, which a rule can hold without quotes."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "_", stem).strip("_")[:40]
    return plain if re.match(r"[A-Za-z_]", plain) else f"eval_{plain}"


def _row(name: str, figure: Figure) -> tuple[str, ...]:
    interval = "-"
    if figure.low is not None and figure.high is not None:
        interval = f"{figure.low:+.3f} to {figure.high:+.3f}"
    return (
        name,
        f"{figure.base:.3f}",
        f"{figure.adapter:.3f}",
        f"{figure.difference:+.3f}",
        interval,
        figure.better or "no clear difference",
    )


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *middle, last = (*row,)
    shown = [first.ljust(widths[0])]
    shown += [each.rjust(width) for each, width in zip(middle, widths[1:-1], strict=True)]
    return "  ".join([*shown, last]).rstrip() + "\n"


def _body(figure: Figure) -> dict[str, Any]:
    told = asdict(figure) | {"difference": figure.difference, "better": figure.better}
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in told.items()
    }
