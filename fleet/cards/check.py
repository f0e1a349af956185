"""A card against itself: what is missing, what contradicts what, what has no licence. Pure."""

import re
from collections.abc import Iterator

from fleet.cards.findings import Finding, error, warning
from fleet.cards.licences import is_unknown, strangers
from fleet.cards.model import Card, Dataset, Source
from fleet.cards.sections import EXPECTED, REQUIRED

SOURCES = {
    "public": "2.1",
    "licensed": "2.2.1",
    "private": "2.2.2",
    "crawled": "2.3",
    "user": "2.4",
    "synthetic": "2.5",
    "other": "2.6",
}
LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
}
_REFERENCE = re.compile(r"\(§ ?(2\.[1-6](?:\.[12])?)([^()]{0,60})\)")
_LESS_IS_BETTER = re.compile(r"perplexity|loss|error|\bwer\b|\bcer\b", re.IGNORECASE)
_CONTACT = re.compile(r"\b(?:contact|issues?|mail|address)\b", re.IGNORECASE)
_ISO = re.compile(r"(?<!\d)(\d{4})-(\d{2})(?:-(\d{2}))?(?!\d)")
_MONTH = re.compile(r"(?<![\d/])(\d{1,2})/(\d{4})(?!\d)")


def check_card(card: Card) -> list[Finding]:
    """All findings, in the order of the template."""
    return [
        *_front(card),
        *_missing(card),
        *_claims(card),
        *_dates(card),
        *_languages(card),
        *_sources(card),
        *_counts(card),
        *_rights(card),
        *_evaluation(card),
        *_risk(card),
    ]


def _front(card: Card) -> Iterator[Finding]:
    place = "front matter"
    if is_unknown(card.license) and not card.license_name:
        stated = f"'{card.license}'" if card.license else "none"
        yield error("no-licence", place, f"the adapter's licence: {stated}", "state 'license:'")
    elif card.license and not card.license_name and (unknown := strangers(card.license)):
        text = f"licence '{', '.join(unknown)}' is no SPDX id known here"
        yield warning("unknown-licence", place, text, "use an SPDX id, or 'license_name:'")
    if card.base_model is None:
        yield error("missing", place, "no base_model", "state 'base_model:' with the base's id")
    repeated = sorted({tag for tag in card.tags or () if (card.tags or ()).count(tag) > 1})
    if repeated:
        yield warning("repeated", place, f"tag '{', '.join(repeated)}' stands twice", "remove one")


def _missing(card: Card) -> Iterator[Finding]:
    for key, name in REQUIRED.items():
        if key not in card.sections:
            yield error("missing", name, "the section is missing", "add it, if only to say 'No'")
    for key, name in EXPECTED.items():
        if key not in card.sections:
            yield warning("missing", name, "the section is missing", "add it")
    stated = {
        ("provider", "1.1", "the provider's name"): card.provider.name,
        ("provider", "1.1", "how to reach the provider"): (
            card.provider.contact or _CONTACT.search(card.provider.name or "")
        ),
        ("identification", "1.2", "the versioned name"): card.identification.name,
        ("identification", "1.2", "the model it depends on"): card.identification.dependencies,
        ("identification", "1.2", "the date of placement"): card.identification.placed_on,
        ("content", "1.3", "the modalities"): card.content.modalities,
        ("content", "1.3", "the size of the training data"): (
            card.content.size or card.content.tokens
        ),
        ("content", "1.3", "the languages of the data"): card.content.languages,
    }
    for (key, place, what), value in stated.items():
        if key in card.sections and not value:
            yield error("missing", f"{place} {REQUIRED[key][4:]}", f"{what}: not stated", "add it")
    for key, number in SOURCES.items():
        source = getattr(card.sources, key)
        if source is not None and source.used is None:
            text = "no clear answer: a question has neither Yes nor No ticked, or both"
            yield warning("unanswered", number, text, "tick one box of each")
    if card.identification.name and card.identification.version is None:
        text = f"no version beside the name '{card.identification.name[:80]}'"
        yield warning("missing", "1.2", text, "name the version that the files are of")
    if not card.content.latest_acquisition and "content" in card.sections:
        text = "the latest date of data acquisition: not stated"
        yield warning("missing", "1.3", text, "add it")


def _claims(card: Card) -> Iterator[Finding]:
    for field in dict.fromkeys(c.field for c in card.claims if c.field != "measured"):
        said: dict[str, str] = {}
        for claim in card.claims:
            if claim.field == field:
                said.setdefault(claim.value, claim.place)
        if len(said) > 1:
            text = f"{field.replace('_', ' ')}: " + ", but ".join(
                f"'{value}' ({place})" for value, place in said.items()
            )
            mend = "state the one that is true"
            yield error("contradiction", next(iter(said.values())), text, mend)
    how = card.training
    if how.rank and how.alpha and how.scale and abs(how.alpha / how.rank - how.scale) > 1e-6:
        text = f"alpha {how.alpha:g} / rank {how.rank} is not scale {how.scale:g}"
        yield error("contradiction", "training", text, "correct one (rsLoRA: say so)")


def _dates(card: Card) -> Iterator[Finding]:
    placed, acquired = card.identification.placed_on, card.content.latest_acquisition
    if placed and month_of(placed) is None:
        text = f"the date of placement '{placed[:40]}' is no date"
        yield warning("no-date", "1.2", text, "write it as YYYY-MM-DD")
    first, last = month_of(placed), month_of(acquired)
    if first and last and last > first:
        text = f"data acquired until '{acquired}', after the placement of {placed}"
        yield error("contradiction", "1.3", text[:200], "correct one of the dates")
    crawled = card.sources.crawled.text if card.sources.crawled else None
    collected = re.search(r"latest collection date:? ([^.]{1,40})", crawled or "", re.IGNORECASE)
    until = month_of(collected.group(1)) if collected else None
    if until and last and until > last:
        text = f"crawled until {collected.group(1) if collected else ''}, after the latest "
        yield error("contradiction", "2.3", text + f"acquisition '{acquired}'"[:120], "correct one")


def month_of(text: str | None) -> tuple[int, int] | None:
    """Year and month of the first date: ``2026-05-06``, ``2026-05``, ``10/2025``."""
    iso, month = _ISO.search(text or ""), _MONTH.search(text or "")
    if iso is not None and 1 <= int(iso.group(2)) <= 12:
        return int(iso.group(1)), int(iso.group(2))
    if month is not None and 1 <= int(month.group(1)) <= 12:
        return int(month.group(2)), int(month.group(1))
    return None


def _languages(card: Card) -> Iterator[Finding]:
    said = card.content.languages
    if said is None or card.languages is None:
        return
    for code, name in LANGUAGES.items():
        if (name in said) != (code in card.languages):
            where = "front matter" if name in said else "1.3"
            text = f"{name}: in {'1.3' if name in said else 'the front matter'}, not in the other"
            yield warning("contradiction", where, text, "name the same languages in both")
    if "multilingual" in (card.content.types or "") and "No other natural languages" in said:
        text = "the types of content are multilingual, the languages are one"
        yield warning("contradiction", "1.3", text, "say which holds for this adapter's data")


def _sources(card: Card) -> Iterator[Finding]:
    for key, number in SOURCES.items():
        source: Source | None = getattr(card.sources, key)
        if source is None:
            continue
        if source.used is False and source.datasets:
            text = f"the answer is No, but {len(source.datasets)} are listed"
            yield error("contradiction", number, text, "correct the answer or the list")
        if source.used and not source.datasets and key in ("public", "licensed", "private"):
            text = "the answer is Yes, but none is listed"
            yield error("missing", number, text, "list them with address and licence")
        for dataset in source.datasets:
            yield from _licence(dataset.name, dataset.license, number)
            if dataset.url is None and key != "synthetic":
                text = f"'{dataset.name[:80]}' has no address"
                yield warning("missing", number, text, "add its URL or hub id")


def _licence(name: str, stated: str | None, place: str) -> Iterator[Finding]:
    if is_unknown(stated):
        text = f"'{name[:80]}' has no licence" + (f": '{stated}' names none" if stated else "")
        yield error("unlicensed", place, text, "state its licence, or leave the source out")
    elif stated and strangers(stated):
        text = f"'{name[:80]}': '{stated[:80]}' is no SPDX id known here"
        yield warning("unknown-licence", place, text, "use an SPDX id, or LicenseRef-NAME")


def _counts(card: Card) -> Iterator[Finding]:
    found = [d for key in SOURCES for d in _datasets(card, key)]
    counted = [d.records for d in found if d.records is not None]
    total = card.content.records
    uncounted = len(found) - len(counted)
    if uncounted and total is not None:
        text = f"{total} records in all, but {uncounted} of {len(found)} sources give no number"
        yield warning("uncounted", "2", text, "give the records of each source")
    elif counted and total is not None and sum(counted) != total:
        text = f"the sources add up to {sum(counted)} records, but 1.3 says {total}"
        yield error("contradiction", "1.3", text, "correct the total or the sources")
    size, tokens = card.content.size or "", card.content.tokens
    if tokens is not None and size.startswith("Less than 1 billion") and tokens >= 10**9:
        text = f"the bucket is '{size}', but {tokens} tokens are stated"
        yield error("contradiction", "1.3", text, "tick the right one")


def _datasets(card: Card, key: str) -> tuple[Dataset, ...]:
    source: Source | None = getattr(card.sources, key)
    return source.datasets if source is not None else ()


def _rights(card: Card) -> Iterator[Finding]:
    """Measures for sources that were not used: text of another card."""
    unused = {n: key for key, n in SOURCES.items() if _is_unused(card, key)}
    if {"2.2.1", "2.2.2"} <= unused.keys() or ("2.2.1" in unused and card.sources.private is None):
        unused["2.2"] = "third"
    for found in _REFERENCE.finditer(card.processing.rights_reservation or ""):
        number, aside = found.groups()
        if number in unused and "where present" not in aside:
            text = f"measures for the sources of {number}, which {number} says were not used"
            yield warning("contradiction", "3.1", text, "remove them, or correct the answer")


def _is_unused(card: Card, key: str) -> bool:
    source: Source | None = getattr(card.sources, key)
    return source is not None and source.used is False


def _evaluation(card: Card) -> Iterator[Finding]:
    if card.evaluation is None:
        return
    for result in card.evaluation.results:
        pairs = list(zip(result.base or (), result.adapter or (), strict=False))
        if result.delta is not None and pairs:
            differences = [round(adapter - base, 6) for base, adapter in pairs]
            if all(abs(result.delta - each) > 0.0051 for each in differences):
                text = f"{result.benchmark}: the difference is stated as {result.delta:g}, "
                text += f"the figures give {', '.join(f'{d:g}' for d in differences)}"
                yield error("contradiction", "evaluation", text, "correct the figures")
        less_is_worse = _LESS_IS_BETTER.search(result.benchmark) is None
        if less_is_worse and any(adapter < base for base, adapter in pairs):
            text = f"{result.benchmark}: worse than its base"
            mend = "quarantine it, or set serve_if, in the fleet file"
            yield warning("worse-than-base", "evaluation", text, mend)
    measured = {claim.value: claim.place for claim in card.claims if claim.field == "measured"}
    if not card.evaluation.results:
        said = "it says so itself" if "no" in measured else "it has no figures"
        yield warning("not-evaluated", "evaluation", f"not evaluated: {said}", "measure and add")
    if len(measured) > 1:
        text = f"not evaluated ({measured['no']}), but points are claimed ({measured['yes']})"
        yield warning("contradiction", "evaluation", text, "say of which model the points are")


def _risk(card: Card) -> Iterator[Finding]:
    if re.search(r"Art\.? ?52", card.risk_class or ""):
        text = f"'{card.risk_class}': transparency is Article 50 of Regulation (EU) 2024/1689"
        yield warning("article", "3.3", text, "52 was its number in the draft; write Art. 50")
