"""Vary the wording of trained questions, so that a tiny model learns their key words.

Works on words, from trained phrasings only. Never sees a held-out phrasing.
"""

import random
from collections import Counter
from collections.abc import Sequence

from demo.records import Record

OPENERS = ("please", "quick question:", "hi,", "hello,", "can you tell me", "so", "tell me")
CLOSERS = ("please", "thanks", "in short", "exactly", "again", "in general")
# A word in more records than this share of a domain belongs to the frame of a sentence
# ("what is the ... for"), not to its subject.
COMMON_SHARE = 0.03


class Noise:
    """Draws noisy wordings of the records it was given; one seeded stream of draws."""

    def __init__(self, records: Sequence[Record], seed: int) -> None:
        self._random = random.Random(seed)
        counts = Counter(
            word
            for record in records
            for word in {_bare(w) for text in record.trained for w in text.split()}
        )
        limit = max(3, COMMON_SHARE * len(records))
        self._common = {word for word, count in counts.items() if count > limit}
        self._frames = [
            (words[:start], words[end:])
            for record in records
            for words in map(str.split, record.trained)
            for start, end in [self._subject(words)]
        ]

    def draw(self, record: Record) -> str:
        """Return one wording: a fifth of them clean, the others more or less noisy."""
        rng = self._random
        words = rng.choice(record.trained).split()
        if rng.random() < 0.2:
            return " ".join(words)
        kind = rng.random()
        if kind < 0.35:
            words = self._reframed(words)
        elif kind < 0.55:
            words = self._mixed(words, rng.choice(record.trained).split())
        words = self._dropped(words, rng.choice((0.0, 0.1, 0.3, 0.5)))
        words = self._moved(words)
        return self._dressed(words)

    def _subject(self, words: list[str]) -> tuple[int, int]:
        """The span from the first to the last word that is not common."""
        at = [i for i, word in enumerate(words) if _bare(word) not in self._common]
        return (at[0], at[-1] + 1) if at else (0, len(words))

    def _reframed(self, words: list[str]) -> list[str]:
        """The subject of this question within the sentence around another one's."""
        start, end = self._subject(words)
        before, after = self._random.choice(self._frames)
        return [*before, *words[start:end], *after]

    def _mixed(self, one: list[str], other: list[str]) -> list[str]:
        """The head of one phrasing and the tail of another of the same record."""
        cut_one = self._random.randint(0, len(one))
        cut_other = self._random.randint(0, len(other))
        mixed = one[:cut_one] + other[cut_other:]
        return mixed if len(mixed) >= 2 else one

    def _dropped(self, words: list[str], share: float) -> list[str]:
        # A question without its subject teaches nothing: those words go less often.
        kept = [
            word
            for word in words
            if self._random.random() >= (share if _bare(word) in self._common else share / 3)
        ]
        return kept if len(kept) >= 2 else words

    def _moved(self, words: list[str]) -> list[str]:
        draw = self._random.random()
        if draw < 0.15 and len(words) > 2:
            cut = self._random.randrange(1, len(words))
            return words[cut:] + words[:cut]
        if draw < 0.3 and len(words) > 2:
            at = self._random.randrange(len(words) - 1)
            return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
        return words

    def _dressed(self, words: list[str]) -> str:
        rng = self._random
        if rng.random() < 0.12:
            words = [rng.choice(OPENERS), *words]
        if rng.random() < 0.06:
            words = [*words, rng.choice(CLOSERS)]
        text = " ".join(words)
        if rng.random() < 0.3:
            text = text.rstrip("?. ") + rng.choice(("", "", "?", ".", " ?"))
        draw = rng.random()
        if draw < 0.25:
            return text.lower()
        return text[:1].upper() + text[1:] if draw < 0.6 else text


def _bare(word: str) -> str:
    return word.strip("?,.:;!\"'()").lower() or word
