"""Every statement of a number that the files can confirm: rank, layers, version and so on."""

import re
from collections.abc import Iterator, Sequence

from fleet.cards.model import CardChange, Claim

_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?(?:[eE]-\d{1,2})?)"
_PATTERNS = {
    "rank": rf"\b(?:lora[ _]|lora_r|)rank\"?(?: of)?[:= |]{{1,3}}{_NUMBER}",
    "alpha": rf"\b(?:lora_)?alpha\"?[:= |]{{1,3}}{_NUMBER}",
    "scale": rf"\bscale\"?[:= |]{{1,3}}{_NUMBER}",
    "dropout": rf"\b(?:lora_)?dropout\"?[:= |]{{1,3}}{_NUMBER}",
    "layers": r"\bnum_layers ?= ?(\d{1,4})\b|\b(?:all )?(\d{1,4}) (?:\w{1,20} )?layers\b"
    r"|\blayers[:= |]{1,3}(\d{1,4})\b",
    "steps": r"\b(\d{1,9}) (?:training )?(?:iters|iterations|steps)\b"
    r"|\b(?:iters|iterations|(?:training )?steps)[:= |]{1,3}(\d{1,9})\b",
    "learning_rate": rf"\b(?:LR|learning[ _]rate)\"?[:= |]{{1,3}}{_NUMBER}",
}
_COMPILED = {field: re.compile(text, re.IGNORECASE) for field, text in _PATTERNS.items()}
_TARGET = re.compile(
    r"(?<![\w.])((?:[qkvo]|gate|up|down|qkv|gate_up|out|in)_proj|lm_head|embed_tokens)\b"
)
_SHORT = re.compile(r"(?<![\w/])q/k/v(/o)?(?![\w/])")
_VERSION = re.compile(r"(?<![\w.])v?(\d{1,5}(?:\.\d{1,5}){1,3})(?![\w.]*\d)")


_NOT_MEASURED = re.compile(
    r"\bnot (?:yet )?(?:been )?(?:bench-?)?(?:validated|evaluated)\b", re.IGNORECASE
)
_MEASURED = re.compile(r"(?<![\w.])[+\u2212-]\d{1,3}(?:\.\d{1,4})? (?:pts|points|pp)\b")


def version_in(text: str) -> str | None:
    found = _VERSION.search(text)
    return found.group(1) if found else None


def versions_in(text: str) -> list[str]:
    return [found.group(1) for found in _VERSION.finditer(text)]


def latest_of(changes: Sequence[CardChange]) -> str | None:
    """The highest version of a changelog."""
    found = [v for change in changes if (v := version_in(change.version or ""))]
    return max(found, key=lambda v: [int(part) for part in v.split(".")], default=None)


def claims_of(text: str, place: str) -> Iterator[Claim]:
    """What a text states, each value of a field once; numbers in one spelling."""
    for field, pattern in _COMPILED.items():
        values = (next(filter(None, m.groups())) for m in pattern.finditer(text))
        for value in dict.fromkeys(f"{float(v):g}" for v in values):
            yield Claim(field=field, value=value, place=place)
    for value, pattern in (("no", _NOT_MEASURED), ("yes", _MEASURED)):
        if pattern.search(text):
            yield Claim(field="measured", value=value, place=place)
    if targets := targets_in(text):
        yield Claim(field="targets", value=", ".join(targets), place=place)


def targets_in(text: str) -> tuple[str, ...]:
    """Names of projections, sorted: ``q_proj``, ``q/k/v/o``."""
    found = {match.group(1) for match in _TARGET.finditer(text)}
    short = _SHORT.search(text)
    if short is not None:
        found |= {"q_proj", "k_proj", "v_proj", *(["o_proj"] if short.group(1) else [])}
    return tuple(sorted(found))
