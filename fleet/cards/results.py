"""Figures of an evaluation: from tables, and from ``base 87.20 -> +cpp 85.98 = -1.22 pts``."""

import re
from collections.abc import Iterator, Sequence

from fleet.cards import numbers
from fleet.cards.model import CardResult
from fleet.cards.tables import Parted, Table

_VALUES = r"((?:[\d.]{1,12}(?: ?/ ?)?){1,6})"
_ARROW = re.compile(
    rf"\*\*([^*]{{1,80}})\*\*[^*]{{0,300}}?\bbase {_VALUES} ?(?:→|->) ?"
    rf"(?:fused |tuned |\+ ?[\w-]{{1,60}} |adapter ){{0,3}}{_VALUES}"
)
_DELTA = re.compile(r"(?:=|Δ)[^\d=Δ\u2212+-]{0,40}([\u2212+-]\d{1,4}(?:\.\d{1,6})?)")
_BASE = ("base", "bare", "without")
_ADAPTER = ("adapter", "lora", "tuned", "with")


def results_in(parted: Parted) -> list[CardResult]:
    return [*(r for table in parted.tables for r in _of_table(table)), *_of_prose(parted.prose)]


def _of_table(table: Table) -> Iterator[CardResult]:
    base = _column(table.header, _BASE)
    adapter = _column(table.header, _ADAPTER, but=base)
    if base in (None, 0) or adapter in (None, 0):
        return
    for row in table.rows:
        values = tuple(numbers.floats(row[base])), tuple(numbers.floats(row[adapter]))
        if row[0] and any(values):
            yield CardResult(benchmark=row[0], base=values[0] or None, adapter=values[1] or None)


def _column(header: Sequence[str], words: Sequence[str], but: int | None = None) -> int | None:
    for at, title in enumerate(header):
        if at != but and any(word in title.casefold() for word in words):
            return at
    return None


def _of_prose(prose: str) -> Iterator[CardResult]:
    for found in _ARROW.finditer(prose):
        delta = _DELTA.search(prose, found.end(), found.end() + 120)
        yield CardResult(
            benchmark=found.group(1),
            base=tuple(numbers.floats(found.group(2))),
            adapter=tuple(numbers.floats(found.group(3))),
            delta=next(numbers.floats(delta.group(1)), None) if delta else None,
        )
