"""Write the cards of the embedded adapters from what their files say.

``python -m demo.cards`` after training, or after a change of what it reads: the tensors and
configs in adapters/, corpus/, the figures of README.md, the schedule in adapters.py. What no file
records is said to be not recorded.
"""

import ast
import re
import tomllib
from pathlib import Path

from demo import root
from demo.fleet_plan import ADAPTERS, AdapterPlan
from demo.records import Record, read_records
from fleet.cards.read import CARD
from fleet.cards.tensors import Facts, read_facts

PLACED = "2026-11-20"  # the first commit that holds the adapters
CORPUS_LAST_CHANGED = "2026-11-20"  # the last commit to corpus/ before the training
CORPUS_IS_AI_MADE: bool | None = True
"""Whether AI wrote the corpus; None: no file records it, and neither box of 2.5 is ticked."""

_FIGURES = re.compile(r"\| ([a-z]+) \| ([\d.]+)% \| ([\d.]+)% ")


def card_text(plan: AdapterPlan) -> str:
    """The card of one stored adapter."""
    facts = read_facts(root() / "adapters" / plan.domain)
    assert facts is not None, f"adapter {plan.domain} is not stored; run python -m demo.train"
    records, general = read_records(plan.domain), read_records("general")
    trained, held_out = _figures()[plan.domain]
    boxes, text = _ai_made()
    template = (root() / "card_template.md").read_text(encoding="utf-8")
    return template.format(
        domain=plan.domain,
        base=f"demo/models/{plan.base}",
        base_size={"apertus": "2.2 million parameters", "devstral": "2.4 million parameters"}[
            plan.base
        ],
        format=facts.format,
        library={"mlx": "mlx", "peft": "peft"}[facts.format],
        version=_version(),
        placed=PLACED,
        acquired=CORPUS_LAST_CHANGED,
        count=len(records),
        general=len(general),
        total=len(records) + len(general),
        characters=f"{sum(map(_characters, [*records, *general])):,}",
        ai_made=boxes,
        ai_made_text=text,
        training="\n".join(f"| {name} | {value} |" for name, value in _training(facts)),
        trained=trained,
        held_out=held_out,
    )


def _characters(record: Record) -> int:
    return sum(map(len, record.trained)) + len(record.answer)


def _ai_made() -> tuple[str, str]:
    by_program = "The noise in the questions is made by program, not by AI."
    if CORPUS_IS_AI_MADE is None:
        said = (
            "Not recorded: the corpus was written for this project (demo/README.md), and no file\n"
            f"says whether AI took part in writing it. {by_program}"
        )
        return "☐ Yes ☐ No", said
    if CORPUS_IS_AI_MADE:
        said = f"AI wrote the corpus that is listed in 2.6 for this project. {by_program}"
        return "☒ Yes ☐ No", said
    return "☐ Yes ☒ No", by_program


def _training(facts: Facts) -> list[tuple[str, str]]:
    """What the tensors and the config say, and the schedule that the run was given."""
    (rank,) = facts.ranks
    given = _schedule()
    stated = [
        ("Method", "LoRA, by demo/train.py in PyTorch"),
        ("Rank", str(rank)),
        ("Alpha", None if facts.alpha is None else f"{facts.alpha:g}"),
        ("Scale", f"{facts.scale:g}"),
        ("Dropout", f"{facts.dropout:g}"),
        ("Target modules", ", ".join(f"`{target}`" for target in facts.targets)),
        ("Layers", str(facts.layers)),
        ("Precision", "float32, stored as float16"),
        ("Optimiser", "AdamW"),
        ("Learning rate", f"{given['rate']:g}"),
        ("Batch size", str(given["rows"])),
        (
            "Length",
            f"planned {given['steps']}, cut to 1.2 to 2 minutes; how many ran: not recorded",
        ),
    ]
    return [(name, value) for name, value in stated if value is not None]


def _schedule() -> dict[str, float]:
    """The numbers of ``SCHEDULE`` in adapters.py, which can't be imported without PyTorch."""
    tree = ast.parse((root() / "adapters.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            return {word.arg or "": ast.literal_eval(word.value) for word in node.value.keywords}
    raise LookupError("demo/adapters.py assigns no schedule")


def _figures() -> dict[str, tuple[str, str]]:
    """Domain -> exact answers on trained and held-out wordings, from the table of README.md."""
    text = (root() / "README.md").read_text(encoding="utf-8")
    return {domain: (trained, held) for domain, trained, held in _FIGURES.findall(text)}


def _version() -> str:
    project = tomllib.loads((root().parent / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def card_path(plan: AdapterPlan) -> Path:
    return root() / "adapters" / plan.domain / CARD


def main() -> None:
    for plan in ADAPTERS:
        card_path(plan).write_text(card_text(plan), encoding="utf-8")
        print(card_path(plan))


if __name__ == "__main__":
    main()
