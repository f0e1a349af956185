"""Numbers as cards write them: 2,850, 2 850, 0.6 M, 1e-5, -1.22. Pure."""

import re
from collections.abc import Iterator

_WHOLE = r"\d{1,3}(?:[ ,'\u2009\u202f]\d{3})++(?!\d)|\d{1,15}"
_COUNT = re.compile(rf"(?<![\d.,])({_WHOLE})(?![\d.])")
_RECORDS = re.compile(
    rf"(?<![\d.,])({_WHOLE}) (?:[\w-]{{1,30}} ){{0,2}}(?:rows|records|pairs|examples|samples)\b",
    re.IGNORECASE,
)
_TOKENS = re.compile(
    rf"(?<![\d.,])(\d{{1,6}}\.\d{{1,6}}|{_WHOLE}) ?(k|thousand|M|million|B|billion)? tokens\b(?!/)",
    re.IGNORECASE,
)
_UNITS = {"k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6, "b": 10**9, "billion": 10**9}
_FLOAT = re.compile(r"(?<![\w.])[+\u2212-]?\d{1,9}(?:\.\d{1,9})?(?:[eE][+-]?\d{1,2})?(?![\w.]*\d)")


def whole(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def count(text: str) -> int | None:
    """The first whole number of a cell; None where it holds none."""
    found = _COUNT.search(text)
    return whole(found.group(1)) if found else None


def records(text: str) -> int | None:
    """``2 850 rows`` -> 2850."""
    found = _RECORDS.search(text)
    return whole(found.group(1)) if found else None


def tokens(text: str) -> int | None:
    """``0.6 M tokens`` -> 600000; a rate such as ``tokens/row`` is none."""
    found = _TOKENS.search(text)
    if found is None:
        return None
    unit = _UNITS.get((found.group(2) or "").lower(), 1)
    return round(float(re.sub(r"[^\d.]", "", found.group(1))) * unit)


def floats(text: str) -> Iterator[float]:
    for found in _FLOAT.finditer(text):
        yield float(found.group().replace("\u2212", "-"))
