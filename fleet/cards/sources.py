"""A section of data sources: whether they were used, and which. Pure."""

import re
from collections.abc import Iterable, Sequence

from fleet.cards import numbers, ticks
from fleet.cards.model import Dataset, Source
from fleet.cards.tables import Parted, Table, plain

_BOX = r"(?:[☒☑✅☐□]|\[[xX ]\])"
_QUESTION = re.compile(rf"\*\*[^*]{{1,600}}\?\*\* ?(?={_BOX})")
_MODALITY = re.compile(
    r"\*\*(?:Type of )?modalit[^*]{1,60}\*\* ?"
    rf"(?:{_BOX} ?(?:Text|Image|Audio|Video|Other) ?){{0,6}}",
    re.IGNORECASE,
)
_LEAD = re.compile(r"\*\*[^*]{1,200}:\*\* ?$")
_RULE = re.compile(r"(?:^| )-{3,}(?= |$)")
_NONE_USED = re.compile(r"[_*]{0,2}No\b[^.]{0,120}\bused\b", re.IGNORECASE)
_COLUMNS = {
    "name": ("dataset", "source", "name", "corpus", "title"),
    "url": ("url", "hub", "link", "address"),
    "license": ("licence", "license"),
    "records": ("records", "rows", "examples", "number"),
    "notes": ("notes", "comment", "description", "remarks"),
}
# one crawled domain: - `https://...` — what (SPDX: `...`, ≈ 1,350 records)
_DOMAIN = re.compile(
    r"- `?(https?://[^\s`]{1,300})`? [—–-] ([^`]{1,400}?) "  # noqa: RUF001
    r"\(SPDX: `([^`]{1,300})`,? ?[≈~]? ?([\d, ]{1,20})? ?(?:records)?\)"
)


def source_of(parts: Sequence[Parted]) -> Source:
    """From all that the card says under one key."""
    prose = " ".join(parted.prose for parted in parts)
    datasets = tuple(d for parted in parts for table in parted.tables for d in _datasets(table))
    datasets += tuple(_crawled(prose))
    text = plain(question_free(_DOMAIN.sub(" ", prose)))
    return Source(used=_used(prose, datasets), datasets=datasets, text=text or None)


def question_free(prose: str) -> str:
    """Without the template's own questions, their boxes, and leads that nothing follows."""
    text = _QUESTION.sub("", prose)
    text = ticks.without(_MODALITY.sub("", text))
    return _LEAD.sub("", " ".join(_RULE.sub(" ", text).split()))


def _used(prose: str, datasets: Sequence[Dataset]) -> bool | None:
    if ticks.answers(prose):
        return ticks.answer(prose)
    if datasets:
        return True
    return False if _NONE_USED.match(prose) else None


def _datasets(table: Table) -> Iterable[Dataset]:
    columns = {field: _column(table.header, words) for field, words in _COLUMNS.items()}
    if columns["name"] is None:
        return
    for row in table.rows:
        cells = {field: row[at] or None for field, at in columns.items() if at is not None}
        name = cells.pop("name")
        if name is not None:
            yield Dataset(
                name=name,
                url=cells.get("url"),
                license=cells.get("license"),
                records=numbers.count(cells.get("records") or ""),
                notes=cells.get("notes"),
            )


def _column(header: Sequence[str], words: Sequence[str]) -> int | None:
    for at, title in enumerate(header):
        if any(word in title.casefold() for word in words):
            return at
    return None


def _crawled(prose: str) -> Iterable[Dataset]:
    for found in _DOMAIN.finditer(prose):
        url, name, terms, count = found.groups()
        yield Dataset(name=plain(name), url=url, license=terms, records=numbers.count(count or ""))
