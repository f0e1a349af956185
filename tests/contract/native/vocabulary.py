"""A byte-level tokenizer.json that grows: added tokens, and tokens that no merge makes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LENGTHS = (6, 5, 7, 4, 8, 3, 9, 2)  # bytes of a piece, the ones to be tried first first


def _alphabet() -> list[str]:
    """How byte-level BPE writes each byte (GPT-2's table)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(b) if b in shown else chr(256 + hidden.index(b)) for b in range(256)]


_ALPHABET = _alphabet()


def _written(raw: bytes) -> str:
    return "".join(_ALPHABET[byte] for byte in raw)


@dataclass
class Vocabulary:
    """``ids``: of the model's tokens as the file writes them, and of added ones by their text."""

    content: dict[str, Any]
    ids: dict[str, int]

    @classmethod
    def read(cls, file: Path) -> "Vocabulary":
        content = json.loads(file.read_text("utf-8"))
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        return cls(content, content["model"]["vocab"] | added)

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(self.content, ensure_ascii=False), "utf-8")

    def byte_token(self, text: str) -> int:
        """The token of an ordinary character, or an added token."""
        return self.ids[text] if text in self.ids else self.ids[_written(text.encode())]

    def add(self, text: str, *, special: bool) -> None:
        if text in self.ids:
            return
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        entry = {"id": self._new(text), "content": text, **flags, "special": special}
        self.content["added_tokens"].append(entry)

    def add_pieces(self, text: str) -> list[int] | None:
        """New tokens that make up the text; None if it can't be cut into such."""
        pieces = self._cut(text.encode(), frozenset())
        return None if pieces is None else [self._new(piece) for piece in pieces]

    def _cut(self, raw: bytes, taken: frozenset[str]) -> list[str] | None:
        if not raw:
            return []
        for length in LENGTHS:
            piece = _written(raw[:length])
            if length > len(raw) or piece in self.ids or piece in taken:
                continue
            rest = self._cut(raw[length:], taken | {piece})
            if rest is not None:
                return [piece, *rest]
        return None

    def _new(self, text: str) -> int:
        # added tokens that the model lacks would be numbered by the reader, not by the file
        self.ids[text] = self.content["model"]["vocab"][text] = len(self.ids)
        return self.ids[text]
