"""How names from an adapter's files stand in a message: short, on one line, printable."""

from collections.abc import Sequence

_LONGEST = 120


def shown(name: str) -> str:
    """A name as it is, if it is short and printable, else its beginning, escaped."""
    if name.isprintable() and len(name) <= _LONGEST:
        return name
    return ascii(name[:_LONGEST])[1:-1] + ("..." if len(name) > _LONGEST else "")


def some(items: Sequence[str]) -> str:
    """The first three of a list, and how many more there are."""
    first = ", ".join(items[:3])
    return first if len(items) <= 3 else f"{first} and {len(items) - 3} more"
