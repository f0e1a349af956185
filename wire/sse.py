"""Server-sent events as OpenAI frames them: encode one event, decode a byte stream.

The decoder follows the WHATWG event-stream rules for what an OpenAI stream uses: ``data``
lines, comments, LF and CRLF line ends, events cut anywhere by the transport.
"""

import json
from collections.abc import Iterator
from typing import Any

DONE = "[DONE]"


def dumps(payload: Any) -> str:
    """Compact JSON, non-ASCII characters as they are."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


def encode_data(data: str) -> bytes:
    """One event of one or more ``data`` lines."""
    return b"".join(b"data: " + line.encode() + b"\n" for line in data.split("\n")) + b"\n"


class SSEDecoder:
    """Turns chunks of bytes into the ``data`` of whole events; comments are dropped."""

    def __init__(self) -> None:
        self._pending = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The data of each event that this chunk completes."""
        lines = (self._pending + chunk).split(b"\n")
        self._pending = lines.pop()
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data).decode("utf-8", "replace")
                self._data = []
