"""What a check found of one adapter, and how it is said. Pure: no MLX, no I/O."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "worse", "loops", "refused"]


@dataclass(frozen=True)
class Verdict:
    """One adapter. What a refusal left unmeasured is None.

    ``perplexity``: on the answers of the adapter's examples.jsonl, a token; ``base_perplexity``
    the same of the bare base. ``loop``: the text that an answer repeats without an end.
    """

    adapter: str
    base: str
    status: Status
    reason: str | None = None
    format: str | None = None
    rank: int | None = None
    targets: tuple[str, ...] = ()
    layers: int | None = None
    bytes: int | None = None
    digest: str | None = None
    effect: float | None = None
    examples: int = 0
    perplexity: float | None = None
    base_perplexity: float | None = None
    loop: str | None = None

    @property
    def failed(self) -> bool:
        return self.status in ("refused", "loops")


_COLUMNS = ("adapter", "format", "rank", "layers", "targets", "size", "digest", "effect")
_TITLES = (*_COLUMNS, "ppl base", "own", "result")
_LEFT = frozenset(("adapter", "format", "targets", "digest", "result"))
_ORDER = ("q", "k", "v", "o", "gate", "up", "down")
_WIDEST_LINE = 100
_WIDEST_TARGETS = 21


def as_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """For other programs; the keys are those of ``Verdict``, and stay."""
    return {
        "object": "list",
        "ok": not any(v.failed for v in verdicts),
        "data": [asdict(v) for v in verdicts],
    }


def table(verdicts: Sequence[Verdict]) -> str:
    """At most 100 columns wide: a block a base, and below it a line for each reason."""
    blocks = [_block(base, [v for v in verdicts if v.base == base]) for base in _bases(verdicts)]
    return "\n".join([*blocks, _summary(verdicts)])


def _bases(verdicts: Sequence[Verdict]) -> list[str]:
    return list(dict.fromkeys(v.base for v in verdicts))


def _block(base: str, verdicts: Sequence[Verdict]) -> str:
    rows = [_TITLES, *(_cells(v) for v in verdicts)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_TITLES))]
    # long names give way: they stand in full in the reasons, and in the JSON
    widths[0] = min(widths[0], _WIDEST_LINE - sum(widths[1:]) - len(widths) + 1)
    lines = [f"{base}\n"]
    for first, *others in rows:
        row = (_cut(first, widths[0]), *others)
        cells = [
            cell.ljust(width) if title in _LEFT else cell.rjust(width)
            for title, cell, width in zip(_TITLES, row, widths, strict=True)
        ]
        lines.append(" ".join(cells).rstrip() + "\n")
    lines += [_wrapped(f"{v.adapter}: {v.reason}") for v in verdicts if v.reason]
    return "".join(lines)


def _wrapped(text: str) -> str:
    return (
        textwrap.fill(
            text,
            _WIDEST_LINE,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
    )


def _cells(v: Verdict) -> tuple[str, ...]:
    return (
        v.adapter,
        v.format or "-",
        _number(v.rank),
        _number(v.layers),
        _cut(_targets(v.targets) or "-", _WIDEST_TARGETS),
        _size(v.bytes),
        (v.digest or "-")[:8],
        _number(v.effect),
        _number(v.base_perplexity),
        _number(v.perplexity),
        v.status,
    )


def _summary(verdicts: Sequence[Verdict]) -> str:
    counts = {s: sum(v.status == s for v in verdicts) for s in ("ok", "worse", "loops", "refused")}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{len(verdicts)} adapters: {said or 'nothing to check'}\n"


def _targets(targets: Sequence[str]) -> str:
    """Short names, in the order in which a block calls its layers."""
    short = [target.removesuffix("_proj") for target in targets]
    return ",".join(sorted(short, key=lambda t: _ORDER.index(t) if t in _ORDER else len(_ORDER)))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}" if value < 100 else f"{value:.0f}" if value < 1e6 else f"{value:.0e}"


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    for unit, scale in (("G", 1e9), ("M", 1e6)):
        if count >= scale:
            return f"{count / scale:.1f}{unit}"
    return f"{count / 1e3:.0f}K"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 2] + ".."
