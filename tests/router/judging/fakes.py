"""A router that answers from a table, and clocks that tick by themselves."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, cycle

from router.decision import GENERAL, Decision, Turn
from router.learning.exemplars import Exemplar


class FakeRouter:
    """Looks the last turn up; what it doesn't know is out of domain."""

    def __init__(self, domains: Sequence[str], table: Mapping[str, Decision]) -> None:
        self.domains = tuple(domains)
        self.table = table
        self.asked: list[list[str]] = []

    def classify(self, turns: Sequence[Turn | tuple[str, str]], /) -> Decision:
        self.asked.append([text for _, text in turns])
        return self.table.get(turns[-1][1]) or decision(None, {GENERAL: 1.0}, 1.0)


def decision(domain: str | None, scores: dict[str, float], outlier: float) -> Decision:
    reason = "classified" if domain else "out_of_domain"
    return Decision(domain, max(scores.values()), reason, scores, outlier)


def words(first: str, count: int) -> str:
    """A text of so many words, told from others by its first."""
    return " ".join([first] + ["word"] * (count - 1))


def ticking(*steps: float) -> Callable[[], float]:
    """A clock that advances by each of the steps in turn, for ever."""
    times = accumulate(cycle(steps))
    return lambda: next(times)


# label, second label, language, words; domain, probabilities of a, b and general, outlier
_TABLE = (
    ("a", "", "en", 6, "a", (0.95, 0.05, 0.0), 0.1),
    ("a", "b", "en", 7, "b", (0.25, 0.75, 0.0), 0.2),
    ("a", "", "fr", 20, None, (0.55, 0.25, 0.2), 0.6),
    ("b", "", "fr", 21, "b", (0.0, 0.95, 0.05), 0.3),
    (GENERAL, "", "en", 60, None, (0.2, 0.05, 0.75), 0.9),
    (GENERAL, "", "fr", 61, "a", (0.55, 0.0, 0.45), 0.5),
)


def six_prompts() -> tuple[FakeRouter, list[Exemplar]]:
    """Six prompts whose figures are worked out by hand in the tests."""
    prompts, table = [], {}
    for number, (label, also, lang, size, domain, chances, outlier) in enumerate(_TABLE):
        text = words(f"p{number}", size)
        prompts.append(Exemplar(text, label, lang, "", also))
        table[text] = decision(
            domain, dict(zip(("a", "b", GENERAL), chances, strict=True)), outlier
        )
    return FakeRouter("ab", table), prompts
