"""A card as one line: the form in which whole and flattened cards are the same.

Tables get every row as ``| a | b |`` with as many cells as their separator has, so that they can
be read without line ends. Code, HTML comments and line breaks go. Linear in the text.
"""

import re
from dataclasses import dataclass

HEADING_END = "\x01"
"""Stands where a heading's line ended, if the card had lines."""
PIPE = "\x02"
"""Stands for a pipe that was escaped."""
MOST_CELLS = 64

_FENCE = re.compile(r"(`{3,}|~{3,})(.*?)(?:\1|\Z)", re.DOTALL)
_BREAK = re.compile(r"<br\s{0,4}/?>", re.IGNORECASE)
_RULE = re.compile(r"\|?(?: ?:?-{2,}+:? ?\|)*+ ?:?-{2,}+:? ?\|?")
_HEADING = re.compile(r" {0,3}#{1,6}\s")


@dataclass(frozen=True)
class Flat:
    """``text``: one line. ``code``: what stood in fences, one line each."""

    text: str
    code: tuple[str, ...]


def flatten(body: str) -> Flat:
    """The body of a card, without its front matter."""
    clean = body.translate(_CONTROLS)
    code: list[str] = []

    def keep(match: re.Match[str]) -> str:
        code.append(" ".join(match.group(2).split()))
        return "\n" if "\n" in match.group() else " "

    clean = _FENCE.sub(keep, _without_comments(clean))
    clean = _BREAK.sub(" ", clean).replace("\\|", PIPE)
    lines = [line.strip() for line in clean.splitlines()]
    return Flat(" ".join(" ".join(_marked(lines)).split(" ")).strip(), tuple(code))


_CONTROLS = {code: None for code in range(32) if code not in (9, 10, 13)}


def _without_comments(text: str) -> str:
    kept: list[str] = []
    at = 0
    while (start := text.find("<!--", at)) >= 0:
        kept.append(text[at:start])
        end = text.find("-->", start)
        if end < 0:
            # a comment without an end hides the rest of a page
            return "".join(kept)
        at = end + 3
    return "".join([*kept, text[at:]])


def _marked(lines: list[str]) -> list[str]:
    """Lines with table rows in full form, and the ends of headings marked."""
    found: list[str] = []
    cells = 0
    for at, line in enumerate(lines):
        below = lines[at + 1] if at + 1 < len(lines) else ""
        words = " ".join(line.split())
        if not words:
            cells = 0
            continue
        if "|" in words and is_rule(below) and not is_rule(words):
            cells = min(MOST_CELLS, len(_cells(below)))
        if cells and "|" in words:
            found.append(_row(words, cells))
            continue
        cells = 0
        found.append(words + HEADING_END if _HEADING.match(line) and len(lines) > 1 else words)
    return found


def is_rule(line: str) -> bool:
    """True for the line under a table's header."""
    return "|" in line and "--" in line and _RULE.fullmatch(" ".join(line.split())) is not None


def _row(line: str, count: int) -> str:
    given = _cells(line)[:count]
    given += [""] * (count - len(given))
    return "| " + " | ".join(given) + " |"


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    return [cell.strip() for cell in inner.removesuffix("|").split("|")]
