"""What would change a decision: another limit, or words left out. Asks the router again."""

from collections.abc import Sequence
from dataclasses import dataclass

from router import Router
from router.decision import Decision, Topic
from router.explaining.rules import relaxed, replay
from router.explaining.terms import Term
from router.reading.head import Reading

MOST = 3


@dataclass(frozen=True)
class Change:
    """Something that could be otherwise, and the decision then."""

    change: str
    domain: str | None
    reason: str


def by_limits(
    router: Router, readings: Sequence[Reading], measured: Reading, earlier: Topic | None
) -> list[Change]:
    """For an abstention: the limits that ``measured`` missed, moved until a domain is named."""
    limits, signals = router.weights.thresholds, router.signals(measured)
    missed: list[str] = []
    decision: Decision | None = None
    while (decision is None or decision.domain is None) and (step := relaxed(signals, limits)):
        limits, by = step
        missed.append(by)
        decision = replay(router, readings, earlier, limits)
    if decision is None:
        return []
    return [Change("; and ".join(missed), decision.domain, decision.reason)]


@dataclass(frozen=True)
class WithoutWords:
    """A conversation to be read again without words of one of its texts, newest first."""

    router: Router
    texts: Sequence[str]
    at: int
    earlier: Topic | None

    def changes(self, words: Sequence[Term], was: Decision) -> list[Change]:
        """Single words without which the domain changes; if none, the strongest together."""
        if not words:
            return []
        found: list[Change] = []
        for word in words:
            change = self._without([word])
            if change.domain != was.domain:
                found.append(change)
            if len(found) == MOST:
                break
        return found or self._together(words, was)

    def _together(self, words: Sequence[Term], was: Decision) -> list[Change]:
        steady = f"any one of its {len(words)} strongest words left out: no other domain"
        none = Change(steady, was.domain, was.reason)
        return [none, self._without(words[:MOST])] if len(words) > 1 else [none]

    def _without(self, words: Sequence[Term]) -> Change:
        texts = list(self.texts)
        texts[self.at] = remove(texts[self.at], [span for word in words for span in word.spans])
        decision = self.router.classify([("user", text) for text in reversed(texts)], self.earlier)
        names = [f'"{word.text}"' for word in words]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return Change(f"without {listed}", decision.domain, decision.reason)


def remove(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text without some of its characters."""
    at, kept = 0, list[str]()
    for start, end in sorted(spans):
        kept.append(text[at:start])
        at = max(at, end)
    return "".join(kept) + text[at:]
