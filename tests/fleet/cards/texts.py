"""The project's own cards, in the forms that cards come in."""

import os
from pathlib import Path

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).resolve().parents[3]
REAL = Path(os.environ.get("AILIANCE_CARDS", ROOT.parent / "shared" / "cards"))
"""Real cards, where this machine has them."""


def text_of(name: str) -> str:
    return (DATA / f"{name}.md").read_text(encoding="utf-8")


def flattened(text: str) -> str:
    """All on one line, as a hub's mirror may leave it."""
    return " ".join(text.split())
