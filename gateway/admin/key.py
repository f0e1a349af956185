"""The admin key as the operator gives it: a file, or a text from the environment.

Refuses what no client could send. The key itself never stands in a message.
"""

import stat
from dataclasses import dataclass
from pathlib import Path

SHORT = 16


class KeyFault(Exception):
    """A key that can't be used; ``str()`` names the mend, never the key."""


@dataclass(frozen=True, slots=True)
class Given:
    """A key, and what to warn of."""

    key: str
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Given(...)"


def read_key(file: Path) -> Given:
    """The key of a file, without blanks around it. Raises KeyFault."""
    try:
        mode = file.stat().st_mode
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        raise KeyFault(f"{file}: not UTF-8; write the key as ASCII text") from None
    except OSError as error:
        raise KeyFault(f"{file}: can't be read: {error.strerror}; correct the path") from None
    given = usable(text, str(file))
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        open_to = f"{file}: others on this machine can read the admin key; chmod 600 it"
        return Given(given.key, (open_to, *given.warnings))
    return given


def usable(text: str, where: str) -> Given:
    """A key that a header can hold; ``where`` names it in messages. Raises KeyFault."""
    key = text.strip()
    if not key:
        raise KeyFault(f"{where}: the admin key is empty; write one, or leave the option out")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyFault(f"{where}: an admin key is one line of printable ASCII without blanks")
    if len(key) < SHORT:
        return Given(key, (f"{where}: the admin key is short; 'openssl rand -hex 32' makes one",))
    return Given(key)
