"""How long decisions take, on texts that no cache has seen."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.judging.hard import Clock
from router.judging.quality import Classifies
from router.learning.exemplars import Exemplar

TOKENS_PER_WORD = 1.4
SEED = 1


@dataclass(frozen=True)
class Load:
    """Conversations of a size, and how many of them are asked."""

    name: str
    tokens: int  # of each turn
    turns: int
    calls: int


LOADS = (
    Load("64 tokens", 64, 1, 2000),
    Load("2,000 tokens", 2000, 1, 400),
    Load("8 turns of 64 tokens", 64, 8, 400),
)


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one decision: of this thread's CPU, and by the clock on the wall."""

    load: Load
    cpu_p50_ms: float
    cpu_p99_ms: float
    wall_p50_ms: float
    wall_p99_ms: float


def latency(
    router: Classifies,
    prompts: Sequence[Exemplar],
    loads: Sequence[Load] = LOADS,
    cpu: Clock = time.thread_time,
    wall: Clock = time.perf_counter,
) -> tuple[Timing, ...]:
    """Ask conversations of the prompts' own words, shuffled: each is new to the router."""
    words = [word for prompt in prompts for word in prompt.text.split()]
    chance = random.Random(SEED)  # noqa: S311 (not for secrets)
    return tuple(_time(router, load, words, chance, cpu, wall) for load in loads)


def _time(
    router: Classifies,
    load: Load,
    words: Sequence[str],
    chance: random.Random,
    cpu: Clock,
    wall: Clock,
) -> Timing:
    taken: list[tuple[float, float]] = []
    size = round(load.tokens / TOKENS_PER_WORD)
    for _ in range(load.calls):
        turns = [("user", " ".join(chance.choices(words, k=size))) for _ in range(load.turns)]
        began_wall, began_cpu = wall(), cpu()
        router.classify(turns)
        taken.append((cpu() - began_cpu, wall() - began_wall))
    marks = 1000 * np.quantile(np.array(taken), (0.5, 0.99), axis=0)  # (marks, clocks)
    return Timing(load, *map(float, marks.T.flat))
