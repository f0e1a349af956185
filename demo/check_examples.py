"""Write ``examples.jsonl`` beside each embedded adapter, for ``ailiance check``.

    python -m demo.check_examples

Twelve questions of its corpus in the wording that nothing was trained on, with the answers.
"""

import json
from collections.abc import Sequence

from demo import root
from demo.records import Record, read_records

COUNT = 12


def lines_of(records: Sequence[Record]) -> str:
    """Twelve records spread over the corpus, a line each."""
    chosen = [records[i * len(records) // COUNT] for i in range(COUNT)]
    said = [{"prompt": record.held_out, "completion": record.answer} for record in chosen]
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in said)


if __name__ == "__main__":
    for folder in sorted((root() / "adapters").iterdir()):
        (folder / "examples.jsonl").write_text(lines_of(read_records(folder.name)), "utf-8")
