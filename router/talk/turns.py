"""Which turns count, and how much: a pure plan over the messages of a conversation.

Only the user's turns count: a system prompt or an answer says what a specialist was, not what
the person wants now. Recent turns count more, and a turn counts by how much topic it has, so
that "and at 5 V?" keeps the domain and a full question changes it.
"""

import math
from collections.abc import Sequence

import numpy as np

from router.decision import Turn
from router.reading import features
from router.reading.features import Floats
from router.reading.head import Reading

MAX_TURNS = 8
MAX_CHARS = 8000
DECAY = 0.5
FULL_TOPIC_WORDS = 4.0


def plan_texts(turns: Sequence[Turn | tuple[str, str]]) -> list[str]:
    """Excerpts of the user turns that count, newest first; their sum is bounded."""
    texts: list[str] = []
    left = MAX_CHARS
    for role, text in reversed(turns):
        # cut first: looking through a megabyte of blanks takes 10 ms
        part = features.excerpt(text)[: max(left, 200)]
        if role != "user" or not part.strip("\0 \t\r\n"):
            continue
        texts.append(part)
        left -= len(part)
        if len(texts) == MAX_TURNS or left <= 0:
            break
    return texts


def weigh(readings: Sequence[Reading]) -> list[float]:
    """Share of each turn, newest first; adds up to 1."""
    raw = [DECAY**age * (1e-3 + _topic(reading)) for age, reading in enumerate(readings)]
    total = sum(raw)
    return [share / total for share in raw]


def _topic(reading: Reading) -> float:
    """How much of a topic of its own a turn has, 0..1."""
    enough_words = 1.0 - math.exp(-((reading.topic_words / FULL_TOPIC_WORDS) ** 2))
    return (1.0 - reading.follow_up) * enough_words


def combine(readings: Sequence[Reading]) -> Reading:
    """One reading for turns, newest first; that of a single turn is itself."""
    if len(readings) == 1:
        return readings[0]
    shares = weigh(readings)
    logits: Floats = np.sum(
        [share * reading.logits for share, reading in zip(shares, readings, strict=True)], axis=0
    ).astype(np.float32)
    return Reading(
        logits,
        sum(share * r.energy for share, r in zip(shares, readings, strict=True)),
        sum(share * r.known_share for share, r in zip(shares, readings, strict=True)),
        sum(share * r.known_letters for share, r in zip(shares, readings, strict=True)),
        max(r.topic_words for r in readings),
        min(r.follow_up for r in readings),
    )
