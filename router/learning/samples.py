"""What the head is trained on: exemplars, sloppy copies, terms, junk. Same material, same samples.

A class of few exemplars gets more: a word of its own must count although it was read once.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from router.decision import GENERAL
from router.learning.augment import framed, junk, sloppy, thinned
from router.learning.exemplars import GLOSSARY, Exemplar
from router.learning.extraction import Extract
from router.reading.features import Grams

TERM_IMPORTANCE = 0.35
COPY_IMPORTANCE = 0.5
FEW = 60
"""A class with fewer exemplars is a small one."""
THIN_COPIES = 8
MOST_BOOST = 25.0
RARE_SHARE = 0.002
"""A word in at most this share of all other texts is a small class's own."""
JUNK_TEXTS = 80

_WORD = re.compile(r"[^\W_][\w+#./-]{2,}")


@dataclass(frozen=True)
class Sample:
    """A training text with its features and its weight in the loss."""

    exemplar: Exemplar
    grams: Grams
    importance: float


def sample_all(
    exemplars: Sequence[Exemplar], terms: Sequence[Exemplar], extract: Extract
) -> list[Sample]:
    """Every text of the training, with its weight."""
    boost = _boosts(exemplars)
    few = [e for e in exemplars if boost[e.label] > 1.0]
    weighted = [(exemplar, 1.0) for exemplar in exemplars]
    weighted += [(sloppy(exemplar, 1), COPY_IMPORTANCE) for exemplar in exemplars]
    weighted += [(thinned(e, n), COPY_IMPORTANCE) for e in few for n in range(THIN_COPIES)]
    weighted += [(term, TERM_IMPORTANCE) for term in (*terms, *own_words(few, exemplars, terms))]
    weighted += [(framed(term, 1), TERM_IMPORTANCE) for term in terms]
    if any(exemplar.label == GENERAL for exemplar in exemplars):
        weighted += [(Exemplar(text, GENERAL), 1.0) for text in junk(JUNK_TEXTS, 1)]
    return [
        Sample(e, extract(e.text), importance * boost.get(e.label, 1.0))
        for e, importance in weighted
    ]


def _boosts(exemplars: Sequence[Exemplar]) -> dict[str, float]:
    """How much more an exemplar of a small class weighs: eight must be heard among 250."""
    sizes = Counter(exemplar.label for exemplar in exemplars)
    usual = sorted(sizes.values())[len(sizes) // 2]
    return {
        label: min(MOST_BOOST, max(1.0, usual / size)) if size < FEW else 1.0
        for label, size in sizes.items()
    }


def own_words(
    few: Sequence[Exemplar], exemplars: Sequence[Exemplar], terms: Sequence[Exemplar]
) -> list[Exemplar]:
    """Words of small classes that hardly any other class uses, as terms of theirs."""
    found: list[Exemplar] = []
    for label in sorted({exemplar.label for exemplar in few}):
        others = [e for e in (*exemplars, *terms) if e.label != label]
        used = Counter(word for e in others for word in _words(e))
        most = RARE_SHARE * len(others)
        own = sorted({word for e in few if e.label == label for word in _words(e)})
        found += [Exemplar(w, label, theme=GLOSSARY) for w in own if used[w] <= most]
    return found


def _words(exemplar: Exemplar) -> set[str]:
    return {word.rstrip("./-") for word in _WORD.findall(exemplar.text.lower())}
