"""Typing errors as people make them. Same seed, same errors."""

import random
import re

EVERY = 4
LEAST_LETTERS = 4
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_BLANKS = re.compile(r"(\s+)")


def mistype(text: str, seed: int) -> str:
    """One typo in each run of four words, in a word of four letters or more if it has one."""
    chance = random.Random(f"{seed}/{text}")  # noqa: S311 (not for secrets)
    pieces = _BLANKS.split(text)  # words at even places, blanks at odd ones
    for start in range(0, len(pieces), 2 * EVERY):
        run = range(start, min(start + 2 * EVERY, len(pieces)), 2)
        long = [at for at in run if sum(map(str.isalpha, pieces[at])) >= LEAST_LETTERS]
        if long:
            at = chance.choice(long)
            pieces[at] = _with_typo(pieces[at], chance)
    return "".join(pieces)


def _with_typo(word: str, chance: random.Random) -> str:
    """A letter other than the first swapped, dropped, doubled or substituted."""
    letters = [at for at, letter in enumerate(word) if letter.isalpha()][1:]
    at = chance.choice(letters)
    before, letter, after = word[:at], word[at], word[at + 1 :]
    match chance.randrange(4):
        case 0 if after[:1].isalpha() and after[0] != letter:
            return before + after[0] + letter + after[1:]
        case 1:
            return before + letter + letter + after
        case 2:
            return before + chance.choice(_ALPHABET.replace(letter.lower(), "")) + after
        case _:
            return before + after
