"""The report's two pictures, with matplotlib where it is installed; it is loaded only here."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from router.judging.measures import Bin
from router.judging.quality import Quality

CONFUSION = "router-confusion.png"
RELIABILITY = "router-reliability.png"
DOTS_PER_INCH = 150
INK, GRID, BAR = "#1f2933", "#d5dbe1", "#3b76af"


def draw(folder: Path, quality: Quality) -> tuple[Path, ...]:
    """Write both pictures, and name them; nothing without matplotlib. Raises OSError."""
    try:
        figures = import_module("matplotlib.figure")
    except ModuleNotFoundError:
        return ()
    confusion, reliability = folder / CONFUSION, folder / RELIABILITY
    _save(_confusion(figures.Figure, quality), confusion)
    _save(_reliability(figures.Figure, quality), reliability)
    return confusion, reliability


def _save(figure: Any, path: Path) -> None:
    # no metadata: the same figures give the same bytes
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})


def _confusion(make: Any, quality: Quality) -> Any:
    """Each row adds up to 100 %: where the prompts of a domain went."""
    size = max(7.0, 0.58 * len(quality.names) + 1.5)
    figure = make(figsize=(size, size * 0.95), layout="constrained")
    axes = figure.add_subplot()
    counts = np.array(quality.confusion, np.float64)
    supports = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(supports, 1)[:, None]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(shares):
        if value:
            colour = "white" if value > 55 else INK
            text = f"{value:.0f}" if value >= 0.5 else "<1"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
    places = range(len(quality.names))
    axes.set_xticks(places, quality.names, rotation=45, ha="right", rotation_mode="anchor")
    named = [f"{n} ({s:.0f})" for n, s in zip(quality.names, supports, strict=True)]
    axes.set_yticks(places, named)
    axes.set_xlabel("decision", color=INK)
    axes.set_ylabel("truth (prompts)", color=INK)
    axes.set_title("Where each domain's prompts went, %", color=INK, fontsize=13)
    _rule_cells(axes, len(quality.names))
    return figure


def _rule_cells(axes: Any, size: int) -> None:
    """Thin lines between the cells instead of a frame."""
    edges = np.arange(size + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0, colors=INK)
    axes.spines[:].set_visible(False)


def _reliability(make: Any, quality: Quality) -> Any:
    """Above: accuracy against probability. Below: how many prompts each point stands for."""
    figure = make(figsize=(6.0, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    bins = [each for each in quality.reliability if each.count]
    upper.plot((0, 1), (0, 1), linestyle="--", color="#7b8794", label="perfectly calibrated")
    upper.errorbar(
        [each.confidence for each in bins],
        [each.accuracy for each in bins],
        yerr=np.array([_doubt(each) for each in bins]).reshape(-1, 2).T,
        fmt="o",
        color=BAR,
        ecolor="#9fbdd8",
        label=f"router with 95 % intervals, ECE {quality.calibration_error:.3f}",
    )
    upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="accuracy")
    upper.set_title("Is the probability true?", color=INK, fontsize=13)
    upper.legend(frameon=False, loc="lower right")
    _count_bars(lower, quality)
    for axes in (upper, lower):
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_color(GRID)
    return figure


def _doubt(each: Bin) -> tuple[float, float]:
    """How far below and above its accuracy the truth may lie (Wilson's 95 % interval)."""
    z_squared, n = 1.96**2, each.count
    middle = (each.accuracy + z_squared / (2 * n)) / (1 + z_squared / n)
    variance = each.accuracy * (1 - each.accuracy) / n + z_squared / (4 * n * n)
    half = 1.96 * variance**0.5 / (1 + z_squared / n)
    return max(0.0, each.accuracy - middle + half), max(0.0, middle + half - each.accuracy)


def _count_bars(axes: Any, quality: Quality) -> None:
    """One bar per bin, its count on top."""
    middles = [(each.low + each.high) / 2 for each in quality.reliability]
    counts = [each.count for each in quality.reliability]
    bars = axes.bar(middles, counts, width=0.092, color=BAR)
    axes.bar_label(bars, labels=[str(n) if n else "" for n in counts], fontsize=9, padding=1)
    axes.set_ylim(0, 1.25 * max([*counts, 1]))
    axes.set_ylabel("prompts")
    axes.set_xlabel("probability of the most probable class")
