"""Bringing an answer to its end before its tokens run out.

A *plan* is a list of tokens that completes the answer from here, found by walking a copy of the
matcher along the tokens that end things. While there are many more tokens than a plan needs,
nothing is done. Near the end, only the model's favourites may come after each of which there
still is a plan that fits; when none is left, the plan itself is followed.

Not a proof that the shortest plan is found: where none fits from the start, nothing is forced
and the answer breaks off.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import llguidance
import numpy as np
from numpy.typing import NDArray

from worker.guidance.masks import Bits, Masks, Words, ends_short
from worker.guidance.ranks import Ranks

FAVOURITES = 8
"""So many of the model's best tokens are tried near the end."""

NEAR = 64
"""Near the end: so many tokens, or the longest plan so far, more than the plan needs."""

EVERY = 16
"""Tokens between two looks at the plan while the end is not near."""

LONGEST = 1024
"""No plan is longer; bounds a search to some tens of milliseconds."""

_RANDOM_WALKS = 4
_FIRST = 4
_TAIL = 256

Choice = Callable[[Bits], int]


@dataclass(frozen=True)
class Paths:
    """Finds plans for one tokenizer. Stateless; any thread."""

    masks: Masks
    ranks: Ranks
    eos: int
    decode: Callable[[list[int]], bytes]

    def plan(
        self, matcher: llguidance.LLMatcher, limit: int, thorough: bool = True
    ) -> list[int] | None:
        """Tokens that complete the answer, the end token last; at most ``limit``, or None."""
        limit = min(limit, LONGEST)
        random = np.random.default_rng(0)
        choices: list[Choice] = [
            partial(self.ranks.first, marks_first=False),
            partial(self.ranks.first, marks_first=True),
            self.ranks.leaving,
            *[partial(self.ranks.any, random=random)] * (_RANDOM_WALKS if thorough else 0),
        ]
        walks = (self._walk(matcher, limit, c, at > 1) for at, c in enumerate(choices))
        return next((found for found in walks if found is not None), None)

    def fails(self, matcher: llguidance.LLMatcher) -> bool:
        """It gives up within its first tokens: at one of its limits, or nothing matches."""
        copy = matcher.deep_copy()
        for _ in range(_FIRST):
            bits = self.masks.bits(self.masks.of(copy))
            if ends_short(copy) or not bits.any():
                return True
            if copy.is_stopped() or not copy.consume_token(
                self.ranks.first(bits, marks_first=False)
            ):
                return copy.is_error()
        return False

    def replays(self, matcher: llguidance.LLMatcher, plan: list[int]) -> bool:
        """The plan, made for another place, completes the answer from here as well."""
        copy = matcher.deep_copy()
        return copy.try_consume_tokens(plan) == len(plan) and copy.is_stopped()

    def after(self, matcher: llguidance.LLMatcher, token: int) -> llguidance.LLMatcher | None:
        copy = matcher.deep_copy()
        return copy if copy.try_consume_tokens([token]) else None

    def _walk(
        self, matcher: llguidance.LLMatcher, limit: int, choice: Choice, look: bool
    ) -> list[int] | None:
        copy, plan = matcher.deep_copy(), list[int]()
        while len(plan) < limit:
            if copy.is_stopped() or copy.is_accepting():
                return None if copy.is_error() else [*plan, self.eos]
            step = copy.compute_ff_tokens() or self._chosen(copy, choice, look)
            if not step or not copy.consume_tokens(step):
                return None
            plan += step
        return None

    def _chosen(self, matcher: llguidance.LLMatcher, choice: Choice, look: bool) -> list[int]:
        bits = self.masks.bits(self.masks.of(matcher))
        if not bits.any():
            return []
        return (look and self._last(matcher, bits)) or [choice(bits)]

    def _last(self, matcher: llguidance.LLMatcher, bits: Bits) -> list[int]:
        """A single character that completes the answer, where there is one."""
        for token in self.ranks.characters(bits):
            after = self.after(matcher, token)
            if after is not None and after.is_accepting():
                return [token]
        return []


class Closing:
    """One row's plan, and whether it has begun to matter. Engine thread."""

    def __init__(self, paths: Paths, start: list[int] | None, ends: list[list[int]]) -> None:
        self._paths = paths
        self._plan = start
        self._stale = start
        self._known: dict[int, list[int]] = {}
        self._longest = len(start) if start else 0
        self._ends = ends
        self._marks = [paths.decode(end) for end in ends]
        self._tail = b""
        # an answer that may be empty may break off anywhere: plain text, until its calls begin
        self._free = start is not None and len(start) == 1
        self._hopeless = start is None
        self._look_at: int | None = None
        self.closing = False

    def first(self, matcher: llguidance.LLMatcher) -> list[int] | None:
        """A plan for the whole answer."""
        return self._search(matcher, LONGEST, thorough=True)

    def on_token(self, token: int) -> None:
        if self._plan:
            self._stale = self._plan
        if self._plan and self._plan[0] == token:
            self._plan = self._plan[1:]
        else:
            self._plan = self._known.get(token)
        self._known = {}
        if self._ends:
            self._tail = (self._tail + self._paths.decode([token]))[-_TAIL:]
            if any(end in self._tail for end in self._marks):
                self._ends = []  # the free passage is over

    def wants_logits(self, remaining: int) -> bool:
        """Whether the end may be near; cheap."""
        if self._look_at is None:
            self._look_at = 4 * (NEAR + self._longest)
        return not self._free and remaining <= self._look_at

    def allowed(
        self,
        matcher: llguidance.LLMatcher,
        words: Words,
        logits: Callable[[], NDArray[np.float32]],
        remaining: int,
    ) -> list[int] | None:
        """Tokens that may come with ``remaining`` left, this one included; None for any."""
        plan = self._current(matcher, remaining)
        if plan is None:
            self._look_at = remaining - EVERY
            return None
        self._longest = max(self._longest, len(plan))
        spare = remaining - len(plan)
        if spare > max(NEAR, self._longest * 5 // 4):
            self._look_at = remaining - min(EVERY, spare)
            return None
        self._look_at = remaining
        kept = [plan[0]]
        if spare > 0:
            kept += self._fitting(matcher, words, logits(), plan, remaining - 1)
        else:
            self.closing = True
        return kept

    def _current(self, matcher: llguidance.LLMatcher, limit: int) -> list[int] | None:
        """A plan from here that fits, the last one where it still holds."""
        if self._plan is None or len(self._plan) > limit:
            self._plan = self._search(matcher, limit, thorough=not self._hopeless)
        return self._plan

    def _search(
        self, matcher: llguidance.LLMatcher, limit: int, thorough: bool
    ) -> list[int] | None:
        for end in self._ends:
            copy = matcher.deep_copy()
            if copy.try_consume_tokens(end) == len(end):
                rest = self._paths.plan(copy, limit - len(end), thorough=False)
                if rest is not None:
                    return end + rest
        if self._stale and len(self._stale) <= limit and self._paths.replays(matcher, self._stale):
            return self._stale
        return self._paths.plan(matcher, limit, thorough)

    def _fitting(
        self,
        matcher: llguidance.LLMatcher,
        words: Words,
        logits: NDArray[np.float32],
        plan: list[int],
        limit: int,
    ) -> list[int]:
        """Those of the model's favourites that leave enough tokens to end."""
        candidates = np.flatnonzero(self._paths.masks.bits(words))
        if len(candidates) > FAVOURITES:
            best = np.argpartition(logits[candidates], -FAVOURITES)[-FAVOURITES:]
            candidates = candidates[best]
        self._stale = plan
        kept: list[int] = []
        for token in candidates.tolist():
            after = self._paths.after(matcher, token) if token != plan[0] else None
            found = self._search(after, limit, thorough=False) if after is not None else None
            if found is not None:
                self._known[token] = found
                kept.append(token)
            elif token != plan[0]:
                self.closing = True
        return kept
