"""Copies of what fit learns from: sloppy exemplars, framed terms. Same seed, same copies.

Lower case and dropped accents need no copies: the features fold both.
"""

import random
from dataclasses import replace

from router.learning.exemplars import Exemplar

TYPO_CHANCE = 0.25
DROP_CHANCE = 0.15
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FRAMES = {
    "en": (
        "what is {}?",
        "explain {}",
        "what does {} mean",
        "how does {} work?",
        "why would I use {}?",
        "how do I choose {}?",
        "purpose of {}",
        "what is the difference with {}?",
        "is there a simple way to do {}",
        "what are the limits of {}?",
    ),
    "fr": (
        "c'est quoi {} ?",
        "explique-moi {}",
        "qu'est-ce que {} ?",
        "comment marche {} ?",
        "à quoi sert {} ?",
        "comment choisir {} ?",
        "que veut dire {}",
        "quelle différence avec {} ?",
        "pourquoi {} ?",
        "les limites de {}",
    ),
}


def framed(term: Exemplar, seed: int) -> Exemplar:
    """The term as a bare question, so that "what is" says nothing about the class."""
    chance = random.Random(f"{seed}/{term.text}")  # noqa: S311 (not for secrets)
    frames = _FRAMES.get(term.lang, _FRAMES["en"])
    return replace(term, text=chance.choice(frames).format(term.text))


def sloppy(exemplar: Exemplar, seed: int) -> Exemplar:
    """The exemplar as someone in a hurry types it."""
    chance = random.Random(f"{seed}/{exemplar.text}")  # noqa: S311 (not for secrets)
    words = exemplar.text.split(" ")
    if len(words) > 4:
        words = [word for word in words if chance.random() > DROP_CHANCE] or words
    typed = [_typo(word, chance) if chance.random() < TYPO_CHANCE else word for word in words]
    return replace(exemplar, text=" ".join(typed))


def _typo(word: str, chance: random.Random) -> str:
    if len(word) < 4:
        return word
    at = chance.randrange(1, len(word) - 1)
    match chance.randrange(4):
        case 0:
            return word[:at] + word[at + 1 :]
        case 1:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case _:
            return word[:at] + chance.choice(_LETTERS) + word[at + 1 :]


def thinned(exemplar: Exemplar, seed: int) -> Exemplar:
    """About half of the exemplar's words: each of them must do without the others."""
    chance = random.Random(f"thin/{seed}/{exemplar.text}")  # noqa: S311 (not for secrets)
    words = exemplar.text.split()
    kept = [word for word in words if chance.random() < 0.5] or [chance.choice(words)]
    return replace(exemplar, text=" ".join(kept))


def junk(count: int, seed: int) -> list[str]:
    """Texts that say nothing: bytes, brackets, digits, mashed keys, encoded blobs."""
    chance = random.Random(f"junk/{seed}")  # noqa: S311 (not for secrets)
    alphabets = (
        "".join(map(chr, range(1, 256))),
        "()[]{}<>",
        "0123456789",
        "asdfghjkl qwertyuiop",
        "ABCDEFGHabcdefgh0123456789+/=",
        "?!.,;:-_*#'\"~",
        "01 ",
        "0123456789abcdef ",
    )
    return [
        "".join(chance.choices(alphabets[n % len(alphabets)], k=chance.choice((1, 8, 40, 300))))
        for n in range(count)
    ]
