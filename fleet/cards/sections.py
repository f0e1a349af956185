"""The sections of a card, by what their headings say: the template's, and those cards add.

A heading is known by its words; its number only tells the place. Where the card lost its line
ends, a heading ends with the words that are known here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from fleet.cards.flat import HEADING_END

REQUIRED = {
    "provider": "1.1 Provider identification",
    "identification": "1.2 Model identification",
    "content": "1.3 Modalities, overall training data size and other characteristics",
    "public": "2.1 Publicly available datasets",
    "licensed": "2.2.1 Datasets commercially licensed by rightsholders",
    "private": "2.2.2 Private datasets obtained from other third parties",
    "crawled": "2.3 Data crawled and scraped from online sources",
    "user": "2.4 User data",
    "synthetic": "2.5 Synthetic data",
    "other_sources": "2.6 Other sources of data",
    "rights": "3.1 Respect of reservation of rights",
    "illegal": "3.2 Removal of illegal content",
}
"""What the template asks for, by key, as it calls it."""

EXPECTED = {
    "evaluation": "Performance evaluation",
    "limitations": "Limitations and out-of-scope use",
    "changelog": "Changelog",
}
"""What a user of an adapter needs besides."""

# key (several where one section stands for several of the template) -> the heading's words
_TITLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("provider",), r"provider identification"),
    (("identification",), r"model identification"),
    (("content",), r"modalit\w+(?:,? overall training data size)?(?: and other characteristics)?"),
    (("provider", "identification", "content"), r"general information(?: about the model)?"),
    (("content",), r"aggregate description(?: of training content)?"),
    (("sources",), r"list of data sources|description of training content|data sources"),
    (("public",), r"publicly available data ?sets?"),
    (
        ("licensed",),
        r"datasets commercially licensed(?: by rightsholders(?: or their representatives)?)?"
        r"|data obtained from third parties under licen[cs]e",
    ),
    (("private",), r"private data ?sets obtained(?: from other third parties)?"),
    (
        ("third",),
        r"private[ ,]+non-publicly available data ?sets(?: obtained from third parties)?",
    ),
    (
        ("crawled",),
        r"data (?:crawled|collected|scraped)"
        r"(?: and scraped from online sources| through web scraping| from online sources)?",
    ),
    (("user", "synthetic"), r"user(?:-provided)? data and synthetic data"),
    (("user",), r"user(?:-provided)? data"),
    (("synthetic",), r"synthetic(?:, ai-generated)? data"),
    (("other_sources",), r"other (?:data )?sources(?: of data)?"),
    (("processing",), r"data processing aspects|other relevant elements"),
    (
        ("rights",),
        r"respect of (?:the )?reservations? of rights"
        r"(?: from(?: the)? text and data mining exceptions? or limitations?)?"
        r"|copyright compliance(?: and TDM opt-out)?",
    ),
    (("rights",), r"copyright opt-out registry"),
    (("illegal",), r"removal of illegal content"),
    (("personal",), r"personal data(?: and PII)?|special categories of personal data"),
    (("processing_other",), r"other information|quality and curation|compute resources"),
    (("training",), r"training (?:configuration|details|procedure|parameters)"),
    (("evaluation",), r"(?:performance )?evaluation(?: results)?"),
    (("limitations",), r"limitations(?: and out-of-scope use)?"),
    (("changelog",), r"change ?log"),
    (("usage",), r"usage"),
    (("citation",), r"citation"),
)
_KNOWN = [(keys, re.compile(words, re.IGNORECASE)) for keys, words in _TITLES]
_MARK = re.compile(r"(?<!\S)#{1,6} (?=\S)")
_NUMBER = re.compile(
    r"(?:(?:section|part|appendix|annex) )?(?:([0-9]{1,3}(?:\.[0-9]{1,3}){0,4}|[A-Z](?=[.: ]))\.?"
    r" ?[—–:-]? ?)?",  # noqa: RUF001
    re.IGNORECASE,
)
# what stands in brackets behind a title: (optional), (Art. 53(1)(a))
_ASIDE = re.compile(
    r"(?: ?\((?:optional|(?:GDPR )?Art\. ?[^()]{0,20}(?:\([^()]{0,9}\)[^()]{0,20}){0,6})\))"
)
MOST_TITLE = 200
MOST_SECTIONS = 2000


@dataclass(frozen=True)
class Section:
    """``keys``: what it is; empty for a heading that is not the template's. ``text`` is flat."""

    keys: tuple[str, ...]
    number: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """As a reader finds it in the card."""
        if not self.title:
            return "the beginning"
        return f"{self.number} {self.title}" if self.number[:1].isdigit() else self.title


def split(text: str) -> Iterator[Section]:
    """The sections of a flat text, in order; what stands before the first has no title."""
    marks = list(islice(_MARK.finditer(text), MOST_SECTIONS))
    first = marks[0].start() if marks else len(text)
    yield Section((), "", "", text[:first].strip())
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(text)
        yield _section(text[mark.end() : end].strip())


def _section(text: str) -> Section:
    head, marked, rest = text.partition(HEADING_END)
    number = _NUMBER.match(head)
    assert number is not None  # everything in it is optional
    start = number.end()
    for keys, words in _KNOWN:
        found = words.match(head, start)
        if found is None:
            continue
        aside = _ASIDE.match(head, found.end())
        end = aside.end() if aside else found.end()
        text = rest.strip() if marked else head[end:].strip(" :")
        # a heading over others, that says nothing itself, is none of them
        keys = keys if len(keys) == 1 or text.strip("- ") else ()
        return Section(keys, number.group(1) or "", head[start : found.end()], text)
    title = head[start:].strip() if marked else ""
    return Section((), "", title[:MOST_TITLE], rest.strip() if marked else head)
