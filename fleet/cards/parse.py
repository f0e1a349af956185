"""A card's text as a ``Card``. Tolerant of form, also of a card that lost its line ends; what it
does not say is None. Nothing is taken from anywhere but the text.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fleet.cards import claims, numbers, ticks
from fleet.cards.errors import CardError
from fleet.cards.flat import flatten
from fleet.cards.front import Value, read_front
from fleet.cards.model import (
    Card,
    CardChange,
    CardEvaluation,
    Claim,
    Content,
    Identification,
    Processing,
    Provider,
    Sources,
    Training,
)
from fleet.cards.results import results_in
from fleet.cards.sections import Section, split
from fleet.cards.sources import question_free, source_of
from fleet.cards.tables import Table, addresses, part, plain

MOST_CHARS = 1 << 20

_RISK = re.compile(
    r"((?:unacceptable|high|limited|minimal|low|no)[ -]risk(?: \(Art[^()]{0,20}\))?)", re.IGNORECASE
)
_RISK_SAID = re.compile(r"risk class\w{0,10}[^|:]{0,40}[|:] ?(.{1,120})", re.IGNORECASE)


def parse_card(text: str) -> Card:
    """Raises CardError for a text that is too long to be a card."""
    if len(text) > MOST_CHARS:
        raise CardError(f"a card of {len(text)} characters; at most {MOST_CHARS} are read")
    front = read_front(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    flat = flatten(front.body)
    return _Reader(list(split(flat.text)), flat.code).card(front.values)


class _Reader:
    """The parts of one card."""

    def __init__(self, sections: list[Section], code: tuple[str, ...]) -> None:
        self._sections = sections
        self._code = code
        self._parted = [part(section.text) for section in sections]
        self._rows = list(self._field_rows())

    def card(self, front: Mapping[str, Value]) -> Card:
        changelog = self._changelog()
        said = list(self._claims(changelog or ()))
        return Card(
            license=_text(front.get("license")),
            license_name=_text(front.get("license_name")),
            base_model=_text(front.get("base_model")),
            tags=_texts(front.get("tags")),
            languages=_texts(front.get("language")),
            library_name=_text(front.get("library_name")),
            pipeline_tag=_text(front.get("pipeline_tag")),
            provider=self._provider(),
            identification=self._identification(),
            content=self._content(),
            sources=self._sources(),
            processing=self._processing(),
            training=_training(said),
            risk_class=self._risk(),
            evaluation=self._evaluation(),
            limitations=self._prose("limitations"),
            changelog=changelog,
            sections=tuple(dict.fromkeys(k for s in self._sections for k in s.keys)),
            claims=tuple(said),
        )

    def _field_rows(self) -> Iterable[tuple[str, str]]:
        """Label and value of every row of the tables with two columns."""
        for section, parted in zip(self._sections, self._parted, strict=True):
            for table in parted.tables:
                if section.keys and len(table.header) == 2:
                    yield from ((row[0].casefold(), row[1]) for row in table.rows)

    def _field(self, *labels: str) -> str | None:
        """The first row whose label starts with one of ``labels``; earlier labels go first."""
        for wanted in labels:
            for label, value in self._rows:
                if label.startswith(wanted) and value:
                    return value
        return None

    def _of(self, key: str) -> list[int]:
        return [at for at, section in enumerate(self._sections) if key in section.keys]

    def _prose(self, key: str) -> str | None:
        """What the sections of a key say besides tables and questions."""
        texts = [plain(question_free(self._parted[at].prose)) for at in self._of(key)]
        return " ".join(filter(None, texts)) or None

    def _provider(self) -> Provider:
        name = self._field("provider name", "provider of the fine-tune", "provider")
        told = " ".join(filter(None, (name, self._field("provider contact", "contact"))))
        return Provider(
            name=name,
            contact=tuple(addresses(told)) or None,
            representative=self._field("authorised representative", "authorized representative"),
        )

    def _identification(self) -> Identification:
        cell = self._field("versioned model name", "model name", "adapter name")
        name, _, rest = (cell or "").partition(" ")
        return Identification(
            name=name.rstrip(",;") or None,
            version=claims.version_in(rest),
            dependencies=self._field("model dependenc", "base model"),
            placed_on=self._field("date of placement", "date of first public release"),
        )

    def _content(self) -> Content:
        modality = self._field("modality", "modalities in training data", "modalities")
        size = self._field("training data size")
        other = self._field("approximate size", "size in alternative units")
        total = self._field("total records", "number of records")
        estimate = self._field("estimated total tokens", "total tokens")
        return Content(
            modalities=_modalities(modality),
            size=next(iter(ticks.ticked(size)), None) if size else None,
            alternative_size=other,
            records=numbers.count(total) if total else numbers.records(other or ""),
            tokens=numbers.count(estimate) if estimate else numbers.tokens(other or ""),
            types=self._field("types of content"),
            latest_acquisition=self._field("latest date of data acquisition"),
            languages=self._field("linguistic characteristics", "languages in training data"),
            other=self._field("other relevant characteristics"),
        )

    def _sources(self) -> Sources:
        found = {
            key: source_of([self._parted[at] for at in places])
            for key in ("public", "licensed", "crawled", "user", "synthetic")
            if (places := self._of(key))
        }
        if places := self._of("other_sources"):
            found["other"] = source_of([self._parted[at] for at in places])
        # 2.2 without its parts: what it lists came from third parties
        whole = [at for at in self._of("third") if self._parted[at].tables]
        if places := self._of("private") or whole:
            found["private"] = source_of([self._parted[at] for at in places])
        return Sources(**found)

    def _processing(self) -> Processing:
        rights = " ".join(self._parted[at].prose for at in self._of("rights"))
        return Processing(
            signatory=ticks.answer(rights),
            rights_reservation=self._prose("rights"),
            illegal_content=self._prose("illegal"),
            personal_data=self._prose("personal"),
            other=self._prose("processing_other"),
        )

    def _risk(self) -> str | None:
        said = self._field("risk class")
        for text in (said, *(plain(parted.prose) for parted in self._parted)):
            found = _RISK_SAID.search(text) if text is not said and text else None
            level = _RISK.search(found.group(1) if found else said or "")
            if level is not None:
                return level.group(1)
        return None

    def _evaluation(self) -> CardEvaluation | None:
        places = self._of("evaluation")
        if not places:
            return None
        results = [result for at in places for result in results_in(self._parted[at])]
        return CardEvaluation(text=self._prose("evaluation"), results=tuple(results))

    def _changelog(self) -> tuple[CardChange, ...] | None:
        tables = [table for at in self._of("changelog") for table in self._parted[at].tables]
        if not tables:
            return None
        return tuple(change for table in tables[:1] for change in _changes(table))

    def _claims(self, changes: Iterable[CardChange]) -> Iterable[Claim]:
        cell = self._field("versioned model name", "model name", "adapter name") or ""
        for version in claims.versions_in(cell.partition(" ")[2]):
            yield Claim(field="version", value=version, place=self._place("identification"))
        latest = claims.latest_of(tuple(changes))
        if latest is not None:
            yield Claim(field="version", value=latest, place=self._place("changelog"))
        known = "the beginning"
        for section in self._sections:
            known = section.place if section.keys else known
            # what an unknown heading is called is not known where line ends were lost
            place = known if section.keys or known == "the beginning" else f"after {known}"
            if "changelog" not in section.keys:
                yield from claims.claims_of(plain(section.text), place)
        for code in self._code:
            yield from claims.claims_of(code, "example code")

    def _place(self, key: str) -> str:
        return next((self._sections[at].place for at in self._of(key)), key)


def _changes(table: Table) -> Iterable[CardChange]:
    columns = {
        name: at
        for name in ("date", "version", "change")
        for at in [next((i for i, h in enumerate(table.header) if name in _column(h)), None)]
        if at is not None
    }
    for row in table.rows:
        yield CardChange(**{name: row[at] or None for name, at in columns.items()})


def _column(header: str) -> str:
    return header.casefold()


def _training(said: Iterable[Claim]) -> Training:
    first: dict[str, str] = {}
    for claim in said:
        first.setdefault(claim.field, claim.value)
    values = {name: first[name] for name in Training.model_fields if name in first}
    targets = tuple(values.pop("targets").split(", ")) if "targets" in values else None
    # pydantic makes 16 of the text "16", and refuses "16.5" for a whole number
    stated: dict[str, Any] = {k: v for k, v in values.items() if k not in _WHOLE or v.isdigit()}
    return Training(**stated, targets=targets)


_WHOLE = ("rank", "layers", "steps")


def _modalities(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if ticks.has_boxes(text):
        return ticks.ticked(text) or None
    stated = re.sub(r"\([^()]*\)", " ", text).casefold()
    return tuple(m for m in ("Text", "Image", "Audio", "Video") if m.casefold() in stated) or None


def _text(value: Value | None) -> str | None:
    return ", ".join(value) if isinstance(value, tuple) else value


def _texts(value: Value | None) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) else value
