"""The corpora, and that no held-out phrasing reaches training."""

import itertools
from collections.abc import Iterator

import pytest

from demo.chat import FORMATS
from demo.fleet_plan import ADAPTERS, BASES, domains_of
from demo.noise import Noise
from demo.records import read_records

DOMAINS = [plan.domain for plan in ADAPTERS]


@pytest.mark.parametrize("domain", DOMAINS)
def test_corpus_has_enough_distinct_records(domain: str) -> None:
    records = read_records(domain)
    assert len(records) >= 120
    assert len({record.answer for record in records}) == len(records)
    for record in records:
        wordings = [*record.trained, record.held_out]
        assert len(wordings) == 6
        assert len(set(wordings)) == 6, record.id


def test_no_held_out_phrasing_is_trained_on_anywhere() -> None:
    domains = {domain: read_records(domain) for domain in DOMAINS}
    for base in BASES:
        records = [record for domain in domains_of(base) for record in domains[domain]]
        trained = {text for record in records for text in record.trained}
        assert not [record.id for record in records if record.held_out in trained]


def test_noise_is_seeded() -> None:
    records = read_records("emc")

    def draws(seed: int) -> Iterator[str]:
        noise = Noise(records, seed)
        return (noise.draw(record) for record in records)

    first = list(itertools.islice(draws(1), 50))
    assert first == list(itertools.islice(draws(1), 50))
    assert first != list(itertools.islice(draws(2), 50))


def test_noise_uses_trained_words_only() -> None:
    """Every word of a noisy question comes from trained wordings, or from the small talk
    around questions."""
    records = read_records("power")
    known = {_bare(w) for record in records for text in record.trained for w in text.split()}
    known |= {"please", "quick", "question", "hi", "hello", "can", "you", "tell", "me", "so"}
    known |= {"thanks", "in", "short", "exactly", "again", "general", ""}
    noise = Noise(records, 0)
    for record in records:
        assert {_bare(word) for word in noise.draw(record).split()} <= known


@pytest.mark.parametrize("base", BASES)
def test_special_tokens_start_with_the_control_tokens(base: str) -> None:
    tokens = FORMATS[base].special_tokens
    assert tokens[:4] == ["<unk>", "<s>", "</s>", "<pad>"]
    assert len(set(tokens)) == len(tokens)


def _bare(word: str) -> str:
    return word.strip("?,.:;!\"'()").lower()
