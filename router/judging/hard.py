"""Prompts made to be slow or to break something: how long each takes, and what is said of it.

The texts differ from run to run from their first character on, so no cache answers.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from router.judging.quality import Classifies

RUNS = 5
MEGABYTE = 1_000_000

Clock = Callable[[], float]
Makes = Callable[[int], str]


@dataclass(frozen=True)
class HardInput:
    """The slowest of five runs, in CPU time of the thread, and the reason of the decision."""

    name: str
    milliseconds: float
    reason: str


def hard_inputs(router: Classifies, clock: Clock = time.thread_time) -> list[HardInput]:
    """Every hard input, five times each. ``clock`` is in seconds."""
    router.classify([("user", "what is loaded late is loaded now")])
    return [_worst(router, name, make, clock) for name, make in {**_PLAIN, **_SHAPED}.items()]


def _worst(router: Classifies, name: str, make: Makes, clock: Clock) -> HardInput:
    turns = _TURNS.get(name, 1)
    slowest, reason = 0.0, ""
    for run in range(RUNS):
        asked = [("user", make(turns * run + turn)) for turn in range(turns)]
        began = clock()
        reason = router.classify(asked).reason
        slowest = max(slowest, clock() - began)
    return HardInput(name, 1000 * slowest, reason)


def _filled(start: str, unit: str, end: str = "") -> str:
    """``unit`` repeated between the two, a megabyte in all."""
    times = (MEGABYTE - len(start) - len(end)) // len(unit)
    return start + unit * times + end


def _words(run: int) -> str:
    return _filled(f"{run} ", "why does transistor gain fall with the temperature of my board ")


_TURNS = {"8 turns of 1 MB each": 8}

_PLAIN: dict[str, Makes] = {
    "empty": lambda run: "",
    "1 MB of words": _words,
    "8 turns of 1 MB each": lambda run: "turn " + _words(run),
    "1 MB without a blank": lambda run: _filled(f"{run}", "abcdefghijklmnopqrstuvwxyz0123456789"),
    "1 MB of emoji": lambda run: _filled(f"{run}", "\U0001f389\U0001f469\u200d\U0001f680"),
    "1 MB right to left": lambda run: _filled(f"{run} \u202e", "مرحبا كيف حالك "),
    "1 MB of null bytes": lambda run: "\0" * (MEGABYTE + run),
    "1 MB of words between null bytes": lambda run: _filled(f"{run}", "\0the\0board"),
    "1 MB of random bytes": lambda run: (
        random.Random(run).randbytes(MEGABYTE).decode("latin-1")  # noqa: S311 (not for secrets)
    ),
    "1 MB of lone surrogates": lambda run: _filled(f"{run}", "\ud800\udfff\udc00"),
    "1 MB of stacked accents": lambda run: _filled(f"{run}a", "\u0316\u0301"),
    "1 MB of ligatures": lambda run: _filled(f"{run} ", "\ufdfa"),
    "200,000 newlines": lambda run: "\n" * (200_000 + run),
    "1 MB of blank lines after a word": lambda run: _filled(f"why{run}", "\n \n\t"),
}
"""Junk that any reader of text should survive."""

_SHAPED: dict[str, Makes] = {
    "100,000 nested brackets": lambda run: f"{run}" + "([{" * 33_333 + "}])" * 33_333,
    "1 MB of 'a ('": lambda run: _filled(f"{run} ", "a ("),
    "1 MB of digits and units": lambda run: _filled(f"{run} ", "1.5.2.0_3-"),
    "1 MB of '<' and '#'": lambda run: _filled(f"{run}", "#<#include <"),
    "title prompt, blank lines": lambda run: _filled(f"# task title {run}\n" + "user:" * 70, "\n"),
    "title prompt, blank lines at the end": lambda run: _filled(
        f"# task title {run}\n", "x", "user:" * 70 + "\n" * 5500
    ),
    "title prompt, blanks": lambda run: _filled(f"# task title {run}\nuser:\n", " \n\t"),
    "title prompt, repeated": lambda run: _filled(
        f"{run} ", "generate a title for the user: conversation\nassistant"
    ),
    "verbs of a title prompt": lambda run: _filled(f"generate {run} ", "generate title "),
    "chat that never answers": lambda run: _filled(f"create title {run} ", "user: \n \n"),
}
"""Shapes that would make patterns backtrack: brackets, numbers, clients' title prompts."""
