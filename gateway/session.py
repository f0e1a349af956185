"""Which conversation a request belongs to, by what its client says. Pure."""

from collections.abc import Mapping

HEADERS = ("x-session-id", "x-conversation-id", "x-openwebui-chat-id")
"""In the order in which they are believed."""


def session_of(headers: Mapping[str, str]) -> str | None:
    """The client's name for its conversation, apart from other clients'; None: it gave none.

    The credential is part of it: with one, whoever guesses a session's name shares nothing with
    it. Clients without credentials are one client here.
    """
    for name in HEADERS:
        if given := headers.get(name, "").strip():
            return f"{headers.get('authorization', '')}\0{given}"
    return None
