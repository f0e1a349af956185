"""The examples beside the embedded adapters are those of the corpus."""

from pathlib import Path

import pytest

from demo import root
from demo.check_examples import COUNT, lines_of
from demo.records import read_records

ADAPTERS = sorted((root() / "adapters").iterdir())


@pytest.mark.parametrize("folder", ADAPTERS, ids=lambda folder: folder.name)
def test_are_of_the_corpus_in_wordings_that_were_not_trained(folder: Path) -> None:
    records = read_records(folder.name)
    assert (folder / "examples.jsonl").read_text("utf-8") == lines_of(records)
    held_out = {record.held_out for record in records}
    assert len(held_out & {text for record in records for text in record.trained}) == 0
    assert lines_of(records).count("\n") == COUNT
