"""Corrected words beside those typed: which they are, and where each span stands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.explaining.corrected import Corrected
from router.reading.spelling import Spelling

WORDS = ["converter", "snubber", "buck", "aaaa", "abba"]


@pytest.mark.parametrize(
    ("typed", "read", "words"),
    [
        ("", "", {}),
        ("a buck", "a buck", {}),
        (
            "The Convertre, a snubbr!",
            "The converter, a snubber!",
            {"convertre": "converter", "snubbr": "snubber"},
        ),
        ("bukc2 BUKC", "buck2 buck", {"bukc": "buck"}),
        ("conve\u0301rtre x", "buck\u0301rtre x", {"conve": "buck"}),
    ],
)
def test_words(typed: str, read: str, words: dict[str, str]) -> None:
    assert Corrected.of(typed, read).words() == words


def test_spans_of_corrected_words_are_those_typed() -> None:
    typed, read = "my snubbr,the (convertre) at 5", "my snubber,the (converter) at 5"
    beside = Corrected.of(typed, read)
    found = [(read.index(w), read.index(w) + len(w)) for w in ("my", "snubber", "converter", "at")]
    spans = beside.typed_spans(found)
    assert [typed[s:e] for s, e in spans] == ["my", "snubbr", "convertre", "at"]
    assert beside.text == typed


def test_part_of_a_corrected_run_is_the_whole_run() -> None:
    beside = Corrected.of("a snubbr b", "a snubber b")
    assert beside.typed_spans([(3, 5), (0, 3), (8, 10)]) == ((2, 8), (0, 8), (2, 9))


def test_where_runs_do_not_pair_the_text_as_read_stands_for_the_typed() -> None:
    beside = Corrected.of("abb\u00bd dinner", "ab1\u20442 dinner")
    assert (beside.text, beside.words()) == ("ab1\u20442 dinner", {})
    assert beside.typed_spans([(0, 2)]) == ((0, 2),)


PIECES = st.sampled_from(
    [*WORDS, "bukc", "Snubbr", "aaba", "é", "e\u0301", "12", "-", " ", "\ud800"]
)


@settings(deadline=None)
@given(st.lists(PIECES).map("".join) | st.text(st.characters(codec=None), max_size=40))
def test_every_word_as_read_has_its_place_as_typed(typed: str) -> None:
    read = Spelling(WORDS).correct(typed)
    beside = Corrected.of(typed, read)
    assert beside.text == typed
    spans = beside.typed_spans([(at, at + 1) for at in range(len(read))])
    assert all(0 <= start < end <= len(typed) for start, end in spans)
    assert list(spans) == sorted(spans)
    if typed == read:
        assert spans == tuple((at, at + 1) for at in range(len(typed)))
