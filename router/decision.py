"""The router's answer. Values only: nothing here decides."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Reason = Literal[
    "explicit",
    "classified",
    "sticky",
    "low_confidence",
    "out_of_domain",
    "ambiguous",
    "quarantined",
    "evidence",
]

GENERAL = "general"
"""The class of everything that no domain claims; never a ``Decision.domain``."""


class Turn(NamedTuple):
    """One message of a conversation, as text; a plain ``(role, text)`` tuple does as well."""

    role: str
    text: str


@dataclass(frozen=True)
class Decision:
    """What a conversation is about, how sure that is, and which rule said so."""

    domain: str | None
    """None: abstained, so the base answers without an adapter."""
    confidence: float
    """Calibrated probability of the best domain, 0..1, whether or not it was chosen."""
    reason: Reason
    scores: dict[str, float]
    """Probability of each domain and of ``general``; they add up to 1."""
