"""Tables in a line of text: found by the rule under their header, which tells the columns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fleet.cards.flat import MOST_CELLS, PIPE

MOST_HEADER = 8 << 10
_RULE = re.compile(r"\|(?: ?:?-{2,}+:? ?\|)++")
_PIPE = re.compile(r" *\|")


@dataclass(frozen=True)
class Table:
    """``header`` and ``rows`` as plain words; all rows have as many cells as the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Parted:
    """A text taken apart: its tables, and the rest."""

    tables: tuple[Table, ...]
    prose: str


def part(text: str) -> Parted:
    """The tables of a flat text, and what stands around them."""
    tables: list[Table] = []
    prose: list[str] = []
    at = 0
    for rule in _RULE.finditer(text):
        if rule.start() < at:
            continue
        count = rule.group().count("|") - 1
        first = max(at, rule.start() - MOST_HEADER)
        header = _header(text[first : rule.start()], count) if count <= MOST_CELLS else None
        if header is None:
            continue
        cells, start = header
        rows, end = _rows(text, rule.end(), count)
        prose.append(text[at : first + start])
        tables.append(Table(tuple(map(plain, cells)), tuple(rows)))
        at = end
    return Parted(tuple(tables), " ".join(" ".join([*prose, text[at:]]).split()))


def _header(before: str, count: int) -> tuple[list[str], int] | None:
    """The cells of the header, and where it starts in what stands before the rule."""
    edge = len(before.rstrip())
    if not before[:edge].endswith("|"):
        return None
    cells: list[str] = []
    at = edge - 1
    for _ in range(count):
        start = before.rfind("|", 0, at)
        if start < 0:
            return None
        cells.append(before[start + 1 : at])
        at = start
    return cells[::-1], at


def _rows(text: str, at: int, count: int) -> tuple[list[tuple[str, ...]], int]:
    rows: list[tuple[str, ...]] = []
    while (pipe := _PIPE.match(text, at)) is not None:
        cells, end = list[str](), pipe.end()
        for _ in range(count):
            stop = text.find("|", end)
            if stop < 0:
                return rows, at
            cells.append(text[end:stop])
            end = stop + 1
        rows.append(tuple(map(plain, cells)))
        at = end
    return rows, at


_LINK = re.compile(r"\[([^\[\]]{0,500})\]\(([^()\s]{0,500})\)")
_CODE = re.compile(r"(`[^`]{0,500}`)")
_EMPHASIS = re.compile(r"\*\*|__|(?<![\w*])[*_](?=[\w\"'(\[])|(?<=[\w.,;:)!?'\"%])[*_](?![\w*])")
_QUOTE = re.compile(r"(?:^|(?<= ))> (?=[^\W\d]|\*)")


def plain(text: str) -> str:
    """Words without Markdown's marks; a link keeps its words, or its address if these are it."""
    words = _LINK.sub(_link_words, text.replace(PIPE, "|"))
    parts = _CODE.split(words)
    parts[::2] = [_QUOTE.sub("", _EMPHASIS.sub("", each)).replace("`", "") for each in parts[::2]]
    parts[1::2] = [each[1:-1] for each in parts[1::2]]
    return " ".join("".join(parts).split())


def _link_words(match: re.Match[str]) -> str:
    words, address = match.groups()
    return words or address


_ADDRESS = re.compile(
    r"(?:https?://|mailto:)[^\s|<>`\])]{1,500}"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}"
)


def addresses(text: str) -> Iterator[str]:
    """Web and mail addresses in a text, each once."""
    seen: set[str] = set()
    for match in _ADDRESS.finditer(text):
        address = match.group().rstrip(".,;:")
        if address not in seen:
            seen.add(address)
            yield address
