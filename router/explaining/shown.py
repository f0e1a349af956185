"""Text of a person, safe to show: one line, printable, bounded."""

import unicodedata

CUT = "…"
_UNPRINTABLE = "\ufffd"


def shown(text: str, limit: int) -> str:
    """At most ``limit`` characters; no control, no lone surrogate, no line break."""
    start = " ".join(text[: 8 * limit + 64].split())
    clean = "".join(c if c.isprintable() else _UNPRINTABLE for c in start[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + CUT


def width(text: str) -> int:
    """Columns of a terminal that a text takes: wide letters take two, marks none."""
    return sum(map(_width, text))


def fitted(text: str, columns: int) -> str:
    """A text cut to so many columns."""
    if width(text) <= columns:
        return text
    kept, taken = 0, 1
    for character in text:
        taken += _width(character)
        if taken > columns:
            break
        kept += 1
    return text[:kept].rstrip() + CUT


def padded(text: str, columns: int) -> str:
    """A text of exactly so many columns, cut or filled with blanks."""
    text = fitted(text, columns)
    return text + " " * (columns - width(text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
