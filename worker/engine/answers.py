"""What a generated token means for its row: more text, the end and its reason, or a failure.

Refuses to touch the generator: the scheduler takes an ended row out of it.
"""

from dataclasses import dataclass
from typing import Literal

from wire.errors import EngineFailed
from worker.engine.request import Event, Failed, Finished, TokenLogprob
from worker.engine.row import Row

Ended = Literal["stop", "length"]


@dataclass(frozen=True)
class Token:
    """A row's new token. ``ended``: mlx-lm ended the row, at an end token or by its length."""

    id: int
    ended: Ended | None
    is_eos: bool
    report: TokenLogprob | None = None


def on_token(row: Row, token: Token) -> list[Event]:
    """The row's events; the last is terminal if the row ends here."""
    row.on_token()
    guide = row.guide
    if guide is not None and guide.failed:
        return [Failed(_guide_failed())]
    # an end token, or one of the request's own, makes no text
    by_token = token.ended == "stop"
    # mlx-lm asks for the logits after a token before it gives that token out, so a guide
    # that is done was done with this one
    by_guide = guide is not None and guide.done
    if token.ended is None and not by_guide:
        text = row.text.add(token.id, token.report)
        if row.text.matched is None:
            return [] if text is None else [text]
    else:
        text = row.text.end(None if by_token else token.id, token.report)
    finished = _finished(row, token, by_guide=by_guide)
    return [finished] if text is None else [text, finished]


def _finished(row: Row, token: Token, *, by_guide: bool) -> Finished:
    stop: str | int | None = row.text.matched
    by_token = token.ended == "stop"
    if stop is None and by_token and not token.is_eos:
        stop = token.id
    whole = by_token or by_guide or row.text.matched is not None
    closed = whole and stop is None and row.guide is not None and row.guide.closing
    ending = (token.report,) if by_token and token.report is not None else ()
    return Finished("stop" if whole else "length", row.usage(), stop, closed, ending)


def _guide_failed() -> EngineFailed:
    return EngineFailed(
        "what constrains this answer failed, and the answer with it; simplify its schema or grammar"
    )
