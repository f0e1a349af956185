"""A card as one page of HTML: no script, nothing loaded from anywhere.

All text passes jinja2's escaping; the policy lets only the page's own style sheet through. Only
web and mail addresses become links.
"""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

import gateway.cards
from fleet.cards import Card

_STYLE = files(gateway.cards).joinpath("card.css").read_text("utf-8")
_TEMPLATE = files(gateway.cards).joinpath("card.html").read_text("utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
SOURCES = (
    ("2.1", "Publicly available datasets", "public"),
    ("2.2.1", "Commercially licensed datasets", "licensed"),
    ("2.2.2", "Private datasets of third parties", "private"),
    ("2.3", "Crawled and scraped data", "crawled"),
    ("2.4", "User data", "user"),
    ("2.5", "Synthetic data", "synthetic"),
    ("2.6", "Other sources", "other"),
)
_LINK = re.compile(r"https?://[^\s<>\"'`)\]]+[^\s<>\"'`)\].,;:]")
_ITEM = re.compile(r"(?:^|(?<= ))- (?=\S)")


def page(model: str, card: Card) -> str:
    """The page of the card that ``model`` has."""
    style = Markup(_STYLE)  # noqa: S704
    return _template().render(card=card, model=model, sources=SOURCES, style=style)


def linked(text: str) -> Markup:
    """Escaped, with web addresses as links."""
    parts: list[Any] = []
    at = 0
    for found in _LINK.finditer(text):
        address = escape(found.group())
        parts += [escape(text[at : found.start()])]
        parts += [Markup('<a href="{0}" rel="noreferrer nofollow">{0}</a>').format(address)]
        at = found.end()
    return Markup("").join([*parts, escape(text[at:])])


def prose(text: str) -> Markup:
    """Paragraph and list of a text whose line ends are gone: ``Lead: - one - two``."""
    lead, *items = _ITEM.split(text)
    said = Markup("<p>{}</p>").format(linked(lead.strip())) if lead.strip() else Markup("")
    listed = Markup("").join(Markup("<li>{}</li>").format(linked(i.strip())) for i in items)
    return said + Markup("<ul>{}</ul>").format(listed) if items else said


def number(value: float) -> str:
    """``87.2``, ``2 850``."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else f"{value:g}"


@cache
def _template() -> Template:
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"linked": linked, "prose": prose, "number": number}
    return made.from_string(_TEMPLATE)
