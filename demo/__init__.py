"""The embedded fleet: two tiny base models, twelve adapters, and what rebuilds them."""

from pathlib import Path


def root() -> Path:
    """Return the folder that holds ``models/``, ``adapters/`` and ``corpus/``."""
    return Path(__file__).resolve().parent
