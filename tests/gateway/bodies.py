"""Bodies and chunks of an answer with one choice, as the fake workers send them."""

from typing import Any

from wire.responses import (
    Ending,
    Envelope,
    Usage,
    chat_choice,
    chat_delta,
    chat_last,
    chat_message,
    text_choice,
)

STOP = Ending("stop")


def plain(envelope: Envelope, text: str, usage: Usage) -> dict[str, Any]:
    if envelope.kind == "chat":
        choice = chat_choice(0, chat_message(text, None, []), STOP, None)
    else:
        choice = text_choice(0, text, STOP, None)
    return envelope.body([choice], usage)


def first(envelope: Envelope) -> dict[str, Any]:
    if envelope.kind == "chat":
        return envelope.chunk(chat_delta(0, {"role": "assistant", "content": ""}))
    return envelope.chunk(text_choice(0, "", None, None))


def delta(envelope: Envelope, text: str) -> dict[str, Any]:
    if envelope.kind == "chat":
        return envelope.chunk(chat_delta(0, {"content": text}))
    return envelope.chunk(text_choice(0, text, None, None))


def last(envelope: Envelope) -> dict[str, Any]:
    if envelope.kind == "chat":
        return envelope.chunk(chat_last(0, STOP, None))
    return envelope.chunk(text_choice(0, "", STOP, None))
