"""Tokens as text and bytes, one by one, for log-probabilities. Refuses to join them.

A token of a byte-level vocabulary may be a part of a character: its bytes are exact, its text
has U+FFFD where it is no whole character.
"""

import re
from typing import Any

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class TokenTexts:
    """Text and bytes of each token of one tokenizer. Safe from any thread."""

    def __init__(self, tokenizer: Any) -> None:
        """``tokenizer``: mlx-lm's TokenizerWrapper."""
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        decoder = str(tokenizer.backend_tokenizer.decoder)
        self._alphabet = _byte_alphabet() if "ByteLevel" in decoder else None
        self._known: dict[int, bytes] = {}

    def text(self, token: int) -> str:
        return self.raw(token).decode("utf-8", "replace")

    def chars(self, token: int) -> int:
        """How many characters begin in the token."""
        return sum(not _continues(byte) for byte in self.raw(token))

    def continues(self, token: int) -> bool:
        """The token begins inside a character."""
        raw = self.raw(token)
        return bool(raw) and _continues(raw[0])

    def raw(self, token: int) -> bytes:
        """The bytes that the token adds to an answer; a special token's own name."""
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self._raw(token)
        return found

    def _raw(self, token: int) -> bytes:
        piece: str | None = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            # the logits may be wider than the vocabulary
            return b""
        if token in self._special:
            return piece.encode()
        if self._alphabet is not None:
            if all(char in self._alphabet for char in piece):
                return bytes(self._alphabet[char] for char in piece)
            return piece.encode()
        if match := _BYTE_TOKEN.fullmatch(piece):
            return bytes([int(match[1], 16)])
        return piece.replace("\u2581", " ").encode()


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80


def _byte_alphabet() -> dict[str, int]:
    """Printable character -> byte, of byte-level BPE.

    Source: GPT-2's encoder: printable Latin-1 stands for itself, all other bytes follow from
    U+0100 on.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    table = {chr(byte): byte for byte in plain}
    return table | {chr(0x100 + i): byte for i, byte in enumerate(others)}
