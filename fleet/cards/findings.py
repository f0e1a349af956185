"""What is wrong with a card: one finding a fault, with its place and the mend."""

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """``kind`` is a short name of the rule; ``place`` where in the card."""

    severity: Severity
    kind: str
    place: str
    message: str
    mend: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def error(kind: str, place: str, message: str, mend: str) -> Finding:
    return Finding("error", kind, place, message, mend)


def warning(kind: str, place: str, message: str, mend: str) -> Finding:
    return Finding("warning", kind, place, message, mend)
