"""All that led to one decision, as values and for JSON; printing is terminal.py's."""

from dataclasses import asdict, dataclass, field
from typing import Any, cast

from router.decision import Decision
from router.explaining.counterfactual import Change
from router.explaining.nearest import Neighbour
from router.explaining.rules import Check
from router.explaining.terms import Contrast, Term

NGRAMS_ONLY = "the terms explain the n-gram half only; the other half is the sentence encoder's"


@dataclass(frozen=True)
class TurnPart:
    """One user turn's part in a conversation; turn 1 is the oldest that counts."""

    turn: int
    text: str
    share: float
    alone: str | None  # the domain that it names by itself
    best: str  # its most probable domain, named or not
    best_chance: float
    after: str | None  # the conversation's domain after it


@dataclass(frozen=True)
class Terms:
    """What moved one turn; with a sentence encoder, that is the n-gram half of it."""

    turn: int
    contrast: Contrast
    halves: tuple[float, float] | None  # probability of the best class: n-grams, sentence


@dataclass(frozen=True)
class Explanation:
    """Why a decision is what it is. Lists are empty where there was no text to read."""

    decision: Decision
    digest: str
    rule: str  # a number of policy.py, a letter of talk/track.py, "housekeeping", "no text"
    sentence: str
    thresholds: dict[str, float | dict[str, float]]
    measured_on: str = ""  # what checks and signals are about
    scored_on: str = ""  # what the scores are about
    checks: list[Check] = field(default_factory=list[Check])
    signals: dict[str, float] = field(default_factory=dict[str, float])
    turns: list[TurnPart] = field(default_factory=list[TurnPart])
    read_as: dict[str, str] = field(default_factory=dict[str, str])
    """Mistyped words of the explained turn, and what they were read as."""
    terms: Terms | None = None
    nearest: list[Neighbour] = field(default_factory=list[Neighbour])
    changes: list[Change] = field(default_factory=list[Change])

    @property
    def scores(self) -> list[tuple[str, float]]:
        """Every class and its probability, falling."""
        return sorted(self.decision.scores.items(), key=lambda pair: (-pair[1], pair[0]))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; floats have four places, texts no lone surrogates."""
        decision = self.decision
        return _rounded(
            {
                "decision": {
                    "domain": decision.domain,
                    "confidence": decision.confidence,
                    "reason": decision.reason,
                    "outlier": decision.outlier,
                },
                "router": self.digest,
                "rule": {"name": self.rule, "sentence": self.sentence},
                "measured_on": self.measured_on,
                "rules": [asdict(check) for check in self.checks],
                "scored_on": self.scored_on,
                "scores": dict(self.scores),
                "thresholds": self.thresholds,
                "signals": self.signals,
                "turns": [asdict(turn) for turn in self.turns],
                "read_as": self.read_as,
                "terms": None if self.terms is None else _terms(self.terms),
                "nearest": [asdict(each) for each in self.nearest],
                "changes": [asdict(change) for change in self.changes],
            }
        )


def _terms(terms: Terms) -> dict[str, Any]:
    found = terms.contrast
    about: dict[str, Any] = {
        "turn": terms.turn,
        "best": found.best,
        "second": found.second,
        "difference": found.difference,
        "bias": found.bias,
        "for": [_term(term) for term in found.pros],
        "against": [_term(term) for term in found.cons],
    }
    if terms.halves is not None:
        ngrams, sentence = terms.halves
        about |= {"note": NGRAMS_ONLY, "best_by_ngrams": ngrams, "best_by_sentence": sentence}
    return about


def _term(term: Term) -> dict[str, Any]:
    return {"kind": term.kind, "text": term.text, "contribution": term.contribution}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_rounded(each) for each in cast(list[Any], value)]
    return value
