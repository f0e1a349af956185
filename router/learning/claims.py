"""Which of what ships as out of domain a new domain takes over.

``general`` knows cooking, law, railways and so on, by theme, as out of domain. Whoever adds
a domain "law" with eight examples must not have to weed those out by hand, and eight examples
hold few words of the trade: the themes of ``general`` that they resemble become the domain's.
Fit says which.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from router.decision import GENERAL
from router.learning.exemplars import Exemplar
from router.learning.extraction import Extract
from router.learning.optimise import Sparse, mean_rows, sparse_matrix
from router.reading import features
from router.reading.features import Floats, Grams

NEVER_CLAIMED = frozenset({"lures", "other", "small-talk", "chat-meta", "text-work"})
"""Themes that are no field of their own."""
CLAIMS = 0.2
"""A theme is claimed by this share of a domain's texts, each counted for its nearest group."""


@dataclass(frozen=True)
class Settled:
    """Exemplars and terms with the claimed ones under their new label, and what to say of it."""

    exemplars: list[Exemplar]
    terms: list[Exemplar]
    notes: list[str]


def settle(
    exemplars: list[Exemplar], terms: list[Exemplar], own: Sequence[str], extract: Extract
) -> Settled:
    """Give the domains of ``own`` the themes of ``general`` that they resemble."""
    if not own:
        return Settled(exemplars, terms, [])
    texts = [*exemplars, *terms]
    groups = _groups(texts)
    matrix = _vectors([extract(e.text) for e in texts])
    centres = mean_rows(matrix, list(groups.values()))
    owner: dict[str, str] = {}
    notes: list[str] = []
    for domain in own:
        mine = [n for n, e in enumerate(texts) if e.label == domain]
        shares = _shares(matrix[mine] @ centres.T, list(groups), domain)
        found = [
            theme
            for (label, theme), share in shares
            if label == GENERAL and share >= CLAIMS and theme not in NEVER_CLAIMED
        ]
        for theme in found:
            owner.setdefault(theme, domain)
        if found:
            notes.append(f"domain '{domain}' takes over what ships about: {', '.join(found)}")
    return Settled(_renamed(exemplars, owner), _renamed(terms, owner), notes)


def _groups(texts: Sequence[Exemplar]) -> dict[tuple[str, str], list[int]]:
    """Each theme of ``general``, and each other domain as a whole: its texts' numbers."""
    groups: dict[tuple[str, str], list[int]] = {}
    for n, text in enumerate(texts):
        theme = text.theme if text.label == GENERAL else ""
        groups.setdefault((text.label, theme), []).append(n)
    return groups


def _vectors(every: Sequence[Grams]) -> Sparse:
    grams = [_without_cues(each) for each in every]
    count = np.zeros(features.WIDTH, np.float32)
    for each in grams:
        count[np.unique(np.concatenate([each.words, each.letters]))] += 1
    idf: Floats = np.log((1 + len(grams)) / (1 + count)).astype(np.float32)
    return sparse_matrix([features.row(each, idf) for each in grams])


def _without_cues(grams: Grams) -> Grams:
    return replace(grams, cues=grams.cues[:0], pairs=grams.pairs[:0])


def _shares(
    likeness: Sparse, groups: list[tuple[str, str]], domain: str
) -> list[tuple[tuple[str, str], float]]:
    """Each group's share of the texts that are nearest to it, largest first."""
    table: Floats = likeness.toarray()
    table[:, [n for n, (label, _) in enumerate(groups) if label == domain]] = -1.0
    nearest = np.bincount(table.argmax(axis=1), minlength=len(groups)) / len(table)
    order = np.argsort(-nearest, kind="stable").tolist()
    return [(groups[n], float(nearest[n])) for n in order]


def _renamed(texts: Sequence[Exemplar], owner: dict[str, str]) -> list[Exemplar]:
    return [
        replace(e, label=owner[e.theme]) if e.label == GENERAL and e.theme in owner else e
        for e in texts
    ]
