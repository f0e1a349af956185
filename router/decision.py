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


class Topic(NamedTuple):
    """What a conversation was about until now, and how sure that was."""

    domain: str
    confidence: float


@dataclass(frozen=True)
class Decision:
    """What a conversation is about, how sure that is, and which rule said so."""

    domain: str | None
    """None: abstained, so the base answers without an adapter."""
    confidence: float
    """Probability, 0..1: of the best domain, chosen or not; of a sticky one, when it was read."""
    reason: Reason
    scores: dict[str, float]
    """Probability of each domain and of ``general``; they add up to 1."""
    outlier: float = 0.0
    """Probability, 0..1, that no domain claims the text."""
    topic: Topic | None = None
    """What a short follow-up would inherit; None: nothing."""
