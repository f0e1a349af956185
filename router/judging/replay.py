"""Replays whole conversations, turn by turn: does the domain stay, and does it change in time?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import yaml

from router.decision import GENERAL
from router.errors import RouterError
from router.judging import measures
from router.judging.quality import Classifies

MEND = "write 'conversations: - {lang: en, turns: [{user: ..., domain: ...}]}'"


@dataclass(frozen=True)
class Talk:
    """What a person says, turn by turn, and the domain each turn belongs to."""

    lang: str
    texts: tuple[str, ...]
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Replay:
    """How often the domain of a turn was the expected one; an abstention is ``general``."""

    conversations: int
    wholly_right: int
    turns: int
    right: int
    stays: int
    """Turns whose expected domain is that of the turn before."""
    bounces: int
    """Of those, the ones where the domain changed all the same."""
    changes: int
    """Turns whose expected domain is another than that of the turn before."""
    changes_right: int
    """Of those, the ones that got the new domain at once."""

    @property
    def turn_accuracy(self) -> float:
        """NaN without a turn."""
        return measures.ratio(self.right, self.turns)

    @property
    def whole_share(self) -> float:
        """Share of the conversations that were right in every turn."""
        return measures.ratio(self.wholly_right, self.conversations)


def conversations(router: Classifies, path: Path) -> Replay:
    """Replay each conversation of a file with all that was said before. Raises RouterError."""
    talks = read_talks(path)
    return count(talks, [_domains_of(router, talk) for talk in talks])


def count(talks: Sequence[Talk], found: Sequence[Sequence[str]]) -> Replay:
    """Compare what was expected with what was found, turn by turn."""
    pairs = [
        list(zip(talk.domains, got, strict=True)) for talk, got in zip(talks, found, strict=True)
    ]
    steps = [step for turns in pairs for step in pairwise(turns)]
    stays = [(old, new) for (due, old), (due_next, new) in steps if due == due_next]
    changes = [due_next == new for (due, _), (due_next, new) in steps if due != due_next]
    return Replay(
        conversations=len(talks),
        wholly_right=sum(all(due == got for due, got in turns) for turns in pairs),
        turns=sum(map(len, pairs)),
        right=sum(due == got for turns in pairs for due, got in turns),
        stays=len(stays),
        bounces=sum(old != new for old, new in stays),
        changes=len(changes),
        changes_right=sum(changes),
    )


def _domains_of(router: Classifies, talk: Talk) -> list[str]:
    turns = [("user", text) for text in talk.texts]
    return [router.classify(turns[: n + 1]).domain or GENERAL for n in range(len(turns))]


def read_talks(path: Path) -> list[Talk]:
    """The conversations of a file. Raises RouterError with the mend."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RouterError(path, f"can't be read: {error}") from None
    rows = cast(dict[str, Any], content).get("conversations") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise RouterError(path, f"holds no conversations; {MEND}")
    return [_talk(path, number, row) for number, row in enumerate(cast(list[Any], rows), 1)]


def _talk(path: Path, number: int, row: Any) -> Talk:
    try:
        turns = cast(list[dict[str, Any]], row["turns"])
        texts = tuple(turn["user"] for turn in turns)
        domains = tuple(turn["domain"] for turn in turns)
    except (KeyError, TypeError):
        raise RouterError(path, f"conversation {number} is out of shape; {MEND}") from None
    if not texts or not all(isinstance(each, str) and each for each in (*texts, *domains)):
        raise RouterError(path, f"conversation {number} lacks a text or a domain; {MEND}")
    return Talk(str(row.get("lang", "")), texts, domains)
