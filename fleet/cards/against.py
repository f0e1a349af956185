"""A card against the files of its adapter and against the fleet file. Pure."""

from collections.abc import Iterator

from fleet.cards.findings import Finding, error, warning
from fleet.cards.model import Card
from fleet.cards.tensors import Facts

_MEND = "correct the card; the tensors are what is served"


def check_files(card: Card, facts: Facts) -> list[Finding]:
    """Every claim of the card that the tensors or the config contradict."""
    shown = {
        "rank": [f"{rank:g}" for rank in facts.ranks],
        "layers": [f"{facts.layers}"] if facts.layers else [],
        "targets": [", ".join(facts.targets)] if facts.targets else [],
        "scale": [f"{facts.scale:g}"] if facts.scale is not None else [],
        "alpha": [f"{facts.alpha:g}"] if facts.alpha is not None else [],
        "dropout": [f"{facts.dropout:g}"] if facts.dropout is not None else [],
    }
    found: list[Finding] = []
    for claim in dict.fromkeys((c.field, c.value, c.place) for c in card.claims):
        field, value, place = claim
        true = shown.get(field)
        if true and value not in true:
            where = "tensors" if field in ("rank", "layers", "targets") else "adapter_config.json"
            text = f"the card says {field} {value}, the {where} {', '.join(true)}"
            found.append(error("against-files", place, text, _MEND))
    if facts.base is not None:
        found += _base(card, facts.base, "adapter_config.json")
    return found


def check_fleet(card: Card, base_model: str) -> list[Finding]:
    """The card's base against the one that the fleet serves it on."""
    return list(_base(card, base_model, "the fleet file"))


def _base(card: Card, stated: str, where: str) -> Iterator[Finding]:
    if card.base_model is None:
        return
    theirs, ours = card.base_model.casefold(), stated.partition("@")[0].rstrip("/").casefold()
    if theirs == ours or theirs.rpartition("/")[2] == ours.rpartition("/")[2]:
        return
    text = f"the card's base is '{card.base_model}', {where} names '{stated}'"
    if _is_path(stated):
        mend = "see whether that folder holds the card's base"
        yield warning("against-files", "front matter", text, mend)
    else:
        yield error("against-files", "front matter", text, "use the base that it was trained on")


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") != 1
