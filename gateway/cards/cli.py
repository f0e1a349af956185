"""``ailiance card check``: what is wrong with a fleet's cards, or with one. Fetches nothing."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fleet.cards import CardError, parse_card
from fleet.cards.against import check_files, check_fleet
from fleet.cards.check import check_card
from fleet.cards.findings import Finding, error, warning
from fleet.cards.read import CARD, card_file, read_text
from fleet.cards.tensors import read_facts
from fleet.find import find_fleet
from fleet.load import load_fleet
from fleet.names import Explicit, Names
from fleet.schema import Fleet
from gateway.cards.shelf import folder_of

EXIT_FOUND = 1
EXIT_USAGE = 2

CHECK = """\
Reads adapters' cards (README.md beside the weights) and reports missing sections of the EU's
template, contradictions inside a card, contradictions with the tensors and the fleet file, and
sources without a licence. Exit code 1 if there are errors.
"""


@dataclass(frozen=True)
class Checked:
    """``name``: the adapter, or the file that was named."""

    name: str
    path: str | None
    findings: list[Finding]

    def count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)


def add_to(commands: Any) -> Sequence[argparse.ArgumentParser]:
    """Adds ``card check`` to the subparsers; returns its parser."""
    card = commands.add_parser("card", help="check adapters' cards")
    verbs = card.add_subparsers(dest="verb", required=True, metavar="check")
    check = verbs.add_parser(
        "check",
        help="missing sections, contradictions, unlicensed sources",
        description=CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument(
        "what", nargs="?", metavar="ADAPTER|FILE", help="one adapter, card or folder (all adapters)"
    )
    check.add_argument("--json", action="store_true", help="findings as JSON")
    return (check,)


def run(options: argparse.Namespace) -> int:
    """The exit code. Raises FleetError with the mend."""
    what: str | None = options.what
    named = Path(what) if what and ("/" in what or what.endswith(".md")) else None
    if named is not None and named.exists():
        checked = [check_path(named)]
    else:
        fleet = load_fleet(find_fleet(options.config, Path.cwd()))
        adapters = list(fleet.adapters) if what is None else _named(fleet, what)
        if adapters:
            checked = [check_adapter(fleet, name) for name in adapters]
        elif what is not None and Path(what).exists():
            checked = [check_path(Path(what))]
        elif what is not None:
            sys.stderr.write(f"ailiance: {_unknown(fleet, what)}\n")
            return EXIT_USAGE
        else:
            checked = []
    sys.stdout.write(_as_json(checked) if options.json else "".join(_lines(checked)))
    return EXIT_FOUND if any(each.count("error") for each in checked) else 0


def check_adapter(fleet: Fleet, name: str) -> Checked:
    """An adapter of the fleet: its card, its files, and the base that it is served on."""
    adapter = fleet.adapters[name]
    base = fleet.bases[adapter.base]
    if base.engine != "mlx":
        return Checked(name, None, [])  # another server has its files
    folder = folder_of(fleet, adapter.source)
    if folder is None:
        text = f"'{adapter.source}' is not on this machine"
        return Checked(name, None, [warning("not-here", "-", text, "serve it once, or fetch it")])
    file = card_file(folder)
    if file is None:
        mend = f"describe it in {CARD}, as docs/cards.md says"
        return Checked(name, None, [error("no-card", "-", f"no {CARD} beside its weights", mend)])
    return Checked(name, str(file), _findings(file, folder, base.model))


def check_path(path: Path) -> Checked:
    """A card, or the folder of one; with the weights beside it, if there are any."""
    file = path / CARD if path.is_dir() else path
    if not file.is_file():
        return Checked(str(path), None, [error("no-card", "-", f"no {CARD} in it", "add one")])
    return Checked(str(path), str(file), _findings(file, file.parent, None))


def _findings(file: Path, folder: Path, base_model: str | None) -> list[Finding]:
    try:
        card = parse_card(read_text(file))
        found = check_card(card)
        facts = read_facts(folder)
    except CardError as fault:
        return [error("unreadable", "-", str(fault), "correct the file")]
    if facts is not None:
        found += check_files(card, facts)
    if base_model is not None:
        found += check_fleet(card, base_model)
    return found


def _named(fleet: Fleet, what: str) -> list[str]:
    """The adapter of that name, short or public."""
    if what in fleet.adapters:
        return [what]
    target = Names(fleet).target(what)
    return [target.adapter] if isinstance(target, Explicit) and target.adapter else []


def _unknown(fleet: Fleet, what: str) -> str:
    close = get_close_matches(what, fleet.adapters, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"adapters: {', '.join(fleet.adapters)}"
    return f"'{what}' is no adapter of the fleet and no file; {hint}"


def _lines(checked: Sequence[Checked]) -> list[str]:
    wide = max((len(each.name) + 2 for each in checked), default=0) if len(checked) > 1 else 0
    lines = [
        f"{each.name if wide else '':<{wide}}{f.severity:<7}  {f.place}: {f.message}; {f.mend}\n"
        for each in checked
        for f in each.findings
    ]
    errors, warnings = (sum(each.count(s) for each in checked) for s in ("error", "warning"))
    cards = sum(each.path is not None for each in checked)
    lines.append(f"{_count(cards, 'card')}: {_count(errors, 'error')}, ")
    return [*lines, f"{_count(warnings, 'warning')}\n"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _as_json(checked: Sequence[Checked]) -> str:
    cards = [
        {"name": c.name, "path": c.path, "findings": [f.as_dict() for f in c.findings]}
        for c in checked
    ]
    totals = {f"{s}s": sum(c.count(s) for c in checked) for s in ("error", "warning")}
    return json.dumps({"cards": cards, **totals}, indent=1, ensure_ascii=False) + "\n"
