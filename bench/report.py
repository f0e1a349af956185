"""Results as Markdown tables, for the terminal and docs/benchmarks.md alike. Pure."""

from collections.abc import Mapping, Sequence

from bench.rounds import Round, Spread, figures, ratios

LABELS = {
    "base": "base",
    "idle": "LoRA idle",
    "single": "one adapter",
    "mixed": "ten adapters + base",
}


def machine_lines(facts: Mapping[str, str]) -> str:
    """One list entry a fact."""
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def inprocess_table(by_rows: Mapping[int, Sequence[Round]], metric: str) -> str:
    """A line for each number of rows: base in tokens/s, the others as ratios to it."""
    variants = list(next(iter(by_rows.values()))[0])
    lines = [["rows", "base, tokens/s", *(LABELS[name] for name in variants[1:])]]
    for rows, rounds in by_rows.items():
        base = figures(rounds, metric, "base")
        others = [_ratio(ratios(rounds, metric, name, "base")) for name in variants[1:]]
        lines.append([str(rows), f"{base.median:,.0f}", *others])
    return _table(lines)


def http_table(rounds: Sequence[Round]) -> str:
    """A line for each variant: tokens/s, ratio to base, time to first token."""
    lines = [["variant", "tokens/s", "ratio to base", "TTFT p50"]]
    for name in rounds[0]:
        rate = figures(rounds, "tokens_per_s", name)
        first_s = figures(rounds, "ttft_p50_s", name)
        ratio = _ratio(ratios(rounds, "tokens_per_s", name, "base"))
        lines.append([name, f"{rate.median:,.0f}", ratio, f"{first_s.median * 1e3:,.0f} ms"])
    return _table(lines)


def peer_lines(rounds: Sequence[Round], pairs: Sequence[tuple[str, str]]) -> str:
    """The ratios between two variants that are asked for, where both were measured."""
    return "\n".join(
        f"- {name} / {against}: {_ratio(ratios(rounds, 'tokens_per_s', name, against))}"
        for name, against in pairs
        if name in rounds[0] and against in rounds[0]
    )


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])
