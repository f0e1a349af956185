"""Finds and reads an adapter's card: the README.md of its folder, confined to it."""

from pathlib import Path

from fleet.cards.errors import CardError

CARD = "README.md"
MOST_BYTES = 1 << 20


def card_file(folder: Path) -> Path | None:
    """The card's path; None where there is none, or where it leads out of the folder.

    A link inside a hub's cache leads to ``blobs`` beside ``snapshots``: that is its place.
    """
    file = folder / CARD
    try:
        target, home = file.resolve(strict=True), folder.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    homes = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    is_inside = any(target.is_relative_to(each) for each in homes)
    return target if is_inside and target.is_file() else None


def read_text(file: Path) -> str:
    """The card's text; bytes that are not UTF-8 become marks. Raises CardError."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise CardError(f"'{file}' can't be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise CardError(f"'{file}' is larger than {MOST_BYTES} bytes; shorten the card")
    return raw.decode("utf-8", "replace")
