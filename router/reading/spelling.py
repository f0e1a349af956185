"""Reads a mistyped word as the known one it stands for: "convertre" as "converter".

Known are the words of the training texts. A word that is not known is read as the most
frequent known word one edit away (a letter dropped, added, changed, or two swapped) that
starts with the same letter. Found by deletions: two words one edit apart share a form with
at most one letter less (SymSpell's idea, Garbe 2012). Nothing of a text is kept.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np

MOST_UNKNOWN = 64
"""Distinct unknown words of one text that are looked up; the rest stay as typed."""
# whole runs only: no part of a part number, of an identifier, of a word with combining accents
_WORD = re.compile(r"(?<![\w\u0300-\u036f])[^\W\d_]{4,24}(?![\w\u0300-\u036f])")


class Spelling:
    """An index of known words, most frequent first. Read-only, safe from several threads."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._known = frozenset(words)
        forms = [(crc32(f.encode()), at) for at, w in enumerate(words) for f in _forms(w)]
        table = np.array(forms, np.int64).reshape(-1, 2)
        order = np.lexsort((table[:, 1], table[:, 0]))
        self._hashes = table[order, 0].astype(np.uint32)
        self._places = table[order, 1].astype(np.int32)

    def correct(self, text: str) -> str:
        """The text with mistyped words replaced, all else untouched."""
        found = self.corrections(text)
        if not found:
            return text
        return _WORD.sub(lambda match: found.get(folded(match[0]), match[0]), text)

    def corrections(self, text: str) -> dict[str, str]:
        """Each mistyped word, lower case and without accents, with what it is read as."""
        words = dict.fromkeys(map(_without_accents, _WORD.findall(text.lower())))
        unknown = [word for word in words if word not in self._known][:MOST_UNKNOWN]
        if not unknown or not self.words:
            return {}
        forms = [(n, crc32(f.encode())) for n, w in enumerate(unknown) for f in _forms(w)]
        hashes = np.array([code for _, code in forms], np.uint32)
        first = np.searchsorted(self._hashes, hashes, "left").tolist()
        last = np.searchsorted(self._hashes, hashes, "right").tolist()
        best: dict[str, int] = {}
        for (n, _), start, end in zip(forms, first, last, strict=True):
            places: list[int] = self._places[start:end].tolist()
            for place in places:
                word = unknown[n]
                if place < best.get(word, len(self.words)) and _one_edit(self.words[place], word):
                    best[word] = place
        return {word: self.words[place] for word, place in best.items()}


def known_words(texts: Iterable[str]) -> list[str]:
    """The words of the texts, most frequent first; ties by the alphabet."""
    counts = Counter(word for text in texts for word in {*map(folded, _WORD.findall(text))})
    return sorted(
        (word for word in counts if word.isalpha()), key=lambda word: (-counts[word], word)
    )


def folded(word: str) -> str:
    """Lower case, without accents."""
    return _without_accents(word.lower())


def _without_accents(word: str) -> str:
    if word.isascii():
        return word
    parts = unicodedata.normalize("NFKD", word)
    return "".join(part for part in parts if not unicodedata.combining(part))


def _forms(word: str) -> set[str]:
    """The word, and without any one of its letters but the first."""
    return {word, *(word[:at] + word[at + 1 :] for at in range(1, len(word)))}


def _one_edit(known: str, typed: str) -> bool:
    if known[0] != typed[:1]:
        return False
    if len(known) == len(typed):
        at = [n for n in range(len(known)) if known[n] != typed[n]]
        swapped = len(at) == 2 and at[1] == at[0] + 1
        return len(at) == 1 or (
            swapped and known[at[0]] == typed[at[1]] and known[at[1]] == typed[at[0]]
        )
    longer, shorter = sorted((known, typed), key=len, reverse=True)
    return len(longer) == len(shorter) + 1 and shorter in _forms(longer)
