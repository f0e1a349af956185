"""Cards of what the fleet serves: found beside the weights, parsed once, kept until they change.

Reads only ``README.md`` of a source's own folder, or of the hub's cache; fetches nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from fleet.cards import Card, parse_card
from fleet.cards.read import CARD, card_file, read_text
from fleet.names import Explicit, Target
from fleet.schema import Fleet, is_hub_id

MOST_KEPT = 512


@dataclass(frozen=True)
class Held:
    """A card as it stands in the file, and as read."""

    text: str
    card: Card


class Shelf:
    """One per app. Reads files: call it in a thread. Threads may race; they make the same."""

    def __init__(self) -> None:
        self._held: OrderedDict[Path, tuple[tuple[int, int], Held]] = OrderedDict()

    def card_of(self, fleet: Fleet, target: Target) -> Held | None:
        """The card of what a name means; None where there is none. Raises CardError."""
        source = source_of(fleet, target)
        folder = folder_of(fleet, source) if source is not None else None
        file = card_file(folder) if folder is not None else None
        return self._read(file) if file is not None else None

    def _read(self, file: Path) -> Held | None:
        try:
            status = file.stat()
        except OSError:
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        kept = self._held.get(file)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        text = read_text(file)
        held = Held(text, parse_card(text))
        self._held[file] = (stamp, held)
        while len(self._held) > MOST_KEPT:
            self._held.popitem(last=False)
        return held


def source_of(fleet: Fleet, target: Target) -> str | None:
    """The source in the fleet file; None for a choice, and for what another server holds."""
    if not isinstance(target, Explicit):
        return None
    base = fleet.bases[target.base]
    if base.engine != "mlx":
        return None
    return fleet.adapters[target.adapter].source if target.adapter else base.model


def folder_of(fleet: Fleet, source: str) -> Path | None:
    """Where a source's files are on this machine; None where they are not."""
    if not is_hub_id(source):
        return fleet.resolve(source)
    # slow to import, and only fleets with hub ids need it
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    repo, _, revision = source.partition("@")
    for name in (CARD, "adapter_config.json", "config.json"):
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None
