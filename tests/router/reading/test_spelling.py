"""Spelling: mistyped words become known ones, and nothing else of a text changes."""

import random
import string
import unicodedata
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.reading.spelling import MOST_UNKNOWN, Spelling, folded, known_words

WORDS = ("converter", "snubber", "with", "étage", "buck", "boost", "inductor")
SPELLING = Spelling([folded(word) for word in WORDS])
LETTERS = st.text("abcABCéÉ", min_size=1, max_size=9)
VOCABULARIES = st.lists(st.text("abc", min_size=4, max_size=8), max_size=12, unique=True)
ANY_TEXT = st.text(st.characters(codec=None), max_size=80)
TEXTS = st.lists(LETTERS | ANY_TEXT, max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("convertre", "converter"),  # swapped
        ("covnerter", "converter"),
        ("converte", "converter"),  # dropped
        ("coverter", "converter"),
        ("converterr", "converter"),  # doubled
        ("connverter", "converter"),
        ("convertex", "converter"),  # substituted
        ("conberter", "converter"),
        ("cxonverter", "converter"),  # added
        ("CONVERTRE", "converter"),
        ("bukc", "buck"),  # as short as a word may be
        ("wiht", "with"),
        ("witth", "with"),
    ],
)
def test_one_typo_is_mended(typed: str, read: str) -> None:
    assert SPELLING.correct(typed) == read
    assert SPELLING.correct(f"a ({typed})\n") == f"a ({read})\n"


@pytest.mark.parametrize(
    "text",
    [
        *("onverter", "ocnverter", "xonverter", "Xonverter"),  # the first letter must agree
        *("conxertex", "convetrre", "cnvrter", "converterss"),  # two edits
        "cevnorter",  # swapped, but no neighbours
        *("converter", "Converter", "étage", "ETAGE", "e\u0301tage"),  # known
        *("wit", "bck", "bu", "it"),  # too short
        *("12345", "buc2k", "irf540n", "lm358", "0x1f", "22pf", "bu_k"),
        "convertreconvertreconvertre",
    ],
)
def test_others_stay_as_typed(text: str) -> None:
    assert SPELLING.correct(text) == text
    assert SPELLING.corrections(text) == {}


def test_accents_are_folded() -> None:
    assert SPELLING.correct("Étgae étgae etgae") == "etage etage etage"
    assert SPELLING.correct("cönvertre") == "converter"
    assert SPELLING.corrections("Étgae, ÉTGAE") == {"etgae": "etage"}


def test_a_part_number_of_few_letters_is_left_alone() -> None:
    text = "IRF540N, STM32F4, nRF52840 and TPS5430 at 12V, 100kHz"
    assert Spelling(["irfz", "stmm", "nrff", "tpss", "and"]).correct(text) == text


@pytest.mark.parametrize(
    ("text", "known"), [("TCAN1042", "than"), ("2SWDIO", "stdio"), ("bukc_x", "buck")]
)
def test_parts_of_part_numbers_and_names_stay_as_typed(text: str, known: str) -> None:
    assert Spelling([known]).correct(text) == text


def test_the_rest_of_a_long_word_stays_as_typed() -> None:
    assert SPELLING.correct("bukc" * 7) == "bukc" * 7


def test_decomposed_accents_do_not_cut_a_word() -> None:
    text = unicodedata.normalize("NFD", "protégé, détecteur")
    spelling = Spelling(["protege", "detecteur", "probe", "testeur"])
    assert unicodedata.normalize("NFC", spelling.correct(text)) == "protégé, détecteur"


def test_the_most_frequent_word_wins() -> None:
    assert Spelling(["cast", "cost", "cart"]).correct("cbst") == "cast"
    assert Spelling(["cost", "cast", "cart"]).correct("cbst") == "cost"
    assert Spelling(["cart", "cost", "cast"]).correct("cbst") == "cost"


def test_a_known_word_stays_though_another_is_more_frequent() -> None:
    assert Spelling(["cost", "cast"]).correct("cast") == "cast"


def test_known_words_are_counted_once_per_text_and_ties_go_by_the_alphabet() -> None:
    texts = ["cost cost cost Café", "cast", "cart CAST", "a 12 lm358 of the cost"]
    assert known_words(texts) == ["cast", "cost", "cafe", "cart"]
    assert known_words(texts[::-1]) == known_words(texts)
    assert known_words([]) == []


def test_each_word_is_mended_wherever_it_stands() -> None:
    text = "bukc, Bukc -> (bukc)\tof a\u00a0convertre.\r\n`snubbr`=5e-3; bukc!"
    found = "buck, buck -> (buck)\tof a\u00a0converter.\r\n`snubber`=5e-3; buck!"
    assert SPELLING.correct(text) == found
    assert SPELLING.corrections(text) == {
        "bukc": "buck",
        "convertre": "converter",
        "snubbr": "snubber",
    }


def test_only_so_many_unknown_words_are_looked_up() -> None:
    others = [f"zz{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    assert len(others) == MOST_UNKNOWN
    spelling = Spelling(["converter"])
    assert spelling.correct(" ".join([*others[1:], "convertre"])).endswith(" converter")
    assert spelling.correct(" ".join([*others, "convertre"])).endswith(" convertre")
    known = "converter " * 500 + "abcd " * 500 + "convertre"
    assert spelling.correct(known).endswith(" converter")


def test_words_whose_hashes_agree_are_not_mixed_up() -> None:
    assert crc32(b"plumless") == crc32(b"buckeroo")
    assert Spelling(["plumless"]).correct("buckeroo") == "buckeroo"


def test_what_is_read_is_one_edit_from_what_was_typed() -> None:
    chance = random.Random(1)
    words = ["".join(chance.choices(string.ascii_lowercase, k=7)) for _ in range(2000)]
    for typed, read in Spelling(words).corrections(" ".join(words[:60]).replace("e", "o")).items():
        assert read in words
        assert typed not in words
        assert abs(len(typed) - len(read)) <= 1


@settings(deadline=None)
@given(ANY_TEXT | TEXTS)
def test_without_known_words_texts_stay(text: str) -> None:
    assert Spelling(()).correct(text) == text
    assert Spelling(()).corrections(text) == {}


@settings(deadline=None)
@given(VOCABULARIES, TEXTS)
def test_known_words_never_change(words: list[str], text: str) -> None:
    spelling = Spelling(words)
    assert spelling.correct(" ".join(words)) == " ".join(words)
    assert not set(words) & set(spelling.corrections(text))
    assert set(spelling.corrections(text).values()) <= set(words)


@settings(deadline=None)
@given(VOCABULARIES, TEXTS)
def test_all_that_is_not_a_word_stays(words: list[str], text: str) -> None:
    def others(of: str) -> list[str]:
        return [c for c in of if not c.isalpha()]

    spelling = Spelling(words)
    found = spelling.correct(text)
    assert others(found) == others(text)
    assert spelling.correct(found) == found  # far fewer words than are looked up
    assert Spelling(words).correct(text) == found


@settings(deadline=None)
@given(st.lists(ANY_TEXT, max_size=5), TEXTS)
def test_words_of_any_texts_can_be_known(texts: list[str], text: str) -> None:
    spelling = Spelling(known_words(texts))
    for each in texts:
        assert spelling.corrections(each) == {}
    spelling.correct(text)


@settings(deadline=None)
@given(st.text(string.ascii_lowercase, min_size=5, max_size=12), st.data())
def test_any_one_edit_after_the_first_letter_is_mended(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(word) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase))
    edits = [
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
    ]
    for typed in edits:
        assert Spelling([word]).correct(typed) == word


JUNK = [
    "",
    " \n\t\0",
    "\0" * 5000,
    "\ud800\udfff converter\udc00",
    "x" * 100_000,
    "🎉🎉 converter 🎉",
    "ﷺ" * 2000,
    "½⅓ ⑳ ㎒ Ⅷ",
    bytes(range(256)).decode("latin-1") * 20,
    "\x1b[31m\u202e\u200b",
    "你好,今天天气怎么样 " * 200,
    "각 각 नमस्ते ไทย İstanbul ΟΔΟΣ",
    "\u0301" * 3000,
]


@pytest.mark.parametrize("text", JUNK, ids=range(len(JUNK)))
def test_junk_stays_as_it_is(text: str) -> None:
    assert SPELLING.correct(text) == text
    known_words([text])
    Spelling(known_words([text])).correct(text)
