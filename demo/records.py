"""Read the corpora: one question and answer a line, with the ways of asking it."""

import json
from dataclasses import dataclass
from pathlib import Path

from demo import root


@dataclass(frozen=True)
class Record:
    """One fact of a domain: five trained ways to ask, one never trained, one answer."""

    id: str
    question: str
    phrasings: tuple[str, ...]
    held_out: str
    answer: str

    @property
    def trained(self) -> tuple[str, ...]:
        """The wordings that training may see: the question and its phrasings."""
        return (self.question, *self.phrasings)


def read_records(name: str, folder: Path | None = None) -> list[Record]:
    """Read ``<folder>/<name>.jsonl``; the folder is ``demo/corpus`` if none is given."""
    path = (folder or root() / "corpus") / f"{name}.jsonl"
    with path.open(encoding="utf-8") as lines:
        return [_record(json.loads(line)) for line in lines if line.strip()]


def _record(raw: dict[str, object]) -> Record:
    phrasings = raw["phrasings"]
    assert isinstance(phrasings, list)
    return Record(
        id=str(raw["id"]),
        question=str(raw["question"]),
        phrasings=tuple(str(text) for text in phrasings),
        held_out=str(raw["held_out"]),
        answer=str(raw["answer"]),
    )
