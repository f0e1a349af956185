"""What an answer's text is made of, and one call of a function. Plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """One complete call.

    ``arguments`` is the JSON text of an object; ``id`` the model's own, where the format has one.
    """

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True)
class Content:
    text: str


@dataclass(frozen=True)
class Reasoning:
    text: str


@dataclass(frozen=True)
class CallBegin:
    index: int
    id: str
    name: str


@dataclass(frozen=True)
class CallArguments:
    """More of the arguments' JSON text; never empty."""

    index: int
    text: str


Piece = Content | Reasoning | CallBegin | CallArguments


def merged(pieces: list[Piece]) -> list[Piece]:
    """The same with neighbours of one kind (for arguments: of one call) joined."""
    out: list[Piece] = []
    for piece in pieces:
        joined = _joined(out[-1], piece) if out else None
        if joined is None:
            out.append(piece)
        else:
            out[-1] = joined
    return out


def _joined(one: Piece, two: Piece) -> Piece | None:
    if isinstance(one, Content) and isinstance(two, Content):
        return Content(one.text + two.text)
    if isinstance(one, Reasoning) and isinstance(two, Reasoning):
        return Reasoning(one.text + two.text)
    if isinstance(one, CallArguments) and isinstance(two, CallArguments):
        return CallArguments(one.index, one.text + two.text) if one.index == two.index else None
    return None
