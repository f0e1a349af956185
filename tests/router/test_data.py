"""The exemplars are fit to learn from, and the test prompts are not among them."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

import router
from router.learning.exemplars import read_file, read_folder, read_terms

DATA = Path(router.__file__).parent / "data"
DEV = DATA.parent / "dev"
TESTS = Path(__file__).parent / "data"
HELD_OUT = TESTS / "test"
DOMAINS = {
    *("electronics", "embedded", "kicad", "spice", "emc", "dsp", "power", "iot"),
    *("security", "math", "python", "cpp"),
}
FILES = sorted(DATA.glob("*.yaml"))
# UTF-8 read as Latin-1 and the like, the replacement character, controls other than \t and \n
MOJIBAKE = re.compile(
    "\u00c3[\u0080-\u00bf]|\u00c2[\u0080-\u00bf]|\u00e2\u20ac|\ufffd|[\x00-\x08\x0b-\x1f]"
)


def squashed(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if character.isalnum() and ord(character) < 768)


def word_set(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w{2,}", text.casefold()))


def by_word(sets: list[frozenset[str]]) -> dict[str, list[frozenset[str]]]:
    found: dict[str, list[frozenset[str]]] = {}
    for words in sets:
        for word in words:
            found.setdefault(word, []).append(words)
    return found


def is_near(words: frozenset[str], known: dict[str, list[frozenset[str]]]) -> bool:
    """Whether one of ``known`` has more than 0.8 of all words of both in common. It lacks less
    than a fifth of ``words`` then, and so has one of the rarest fifth, which is quick to try."""
    rarest = sorted(words, key=lambda word: len(known.get(word, ())))[: len(words) // 5 + 1]
    near = (other for word in rarest for other in known.get(word, ()))
    return any(len(words & other) / len(words | other) > 0.8 for other in near)


def test_nearly_the_same_words_are_found() -> None:
    known = by_word([frozenset("abcdefghij"), frozenset("abcxyz")])
    assert is_near(frozenset("abcdefghi"), known)
    assert is_near(frozenset("bcdefghijk"), known)
    assert not is_near(frozenset("abcdefg"), known)
    assert not is_near(frozenset("klmnop"), known)


def test_there_is_a_file_for_each_domain_and_for_general() -> None:
    assert {path.stem for path in FILES} == DOMAINS | {"general"}
    assert all(exemplar.label == path.stem for path in FILES for exemplar in read_file(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_enough_of_both_languages_and_several_themes(path: Path) -> None:
    exemplars = read_file(path)
    languages = Counter(exemplar.lang for exemplar in exemplars)
    assert set(languages) == {"en", "fr"}
    assert len(exemplars) >= (600 if path.stem == "general" else 250)
    assert languages["fr"] >= 0.35 * len(exemplars)
    assert len({exemplar.theme for exemplar in exemplars}) >= 8


@pytest.mark.parametrize(
    "path",
    [*FILES, *sorted(DEV.glob("*")), *sorted(TESTS.rglob("*.yaml")), DATA.parent / "terms.yaml"],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_no_mojibake(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert MOJIBAKE.findall(text) == []
    assert unicodedata.normalize("NFC", text) == text


def test_no_prompt_twice() -> None:
    counts = Counter(squashed(exemplar.text) or exemplar.text for exemplar in read_folder(DATA))
    assert [text for text, count in counts.items() if count > 1] == []


def test_held_out_prompts_stand_nowhere_else() -> None:
    """Neither word for word nor nearly: train, dev and test have different authors."""
    parts = {"train": read_folder(DATA), "dev": read_folder(DEV), "test": read_folder(HELD_OUT)}
    for held, others in (("dev", ("train",)), ("test", ("train", "dev"))):
        known = by_word([word_set(e.text) for name in others for e in parts[name]])
        exact = {squashed(e.text) for name in others for e in parts[name]}
        near = [
            exemplar.text
            for exemplar in parts[held]
            for words in [word_set(exemplar.text)]
            if (len(exemplar.text) > 12 and squashed(exemplar.text) in exact)
            or (len(words) > 3 and is_near(words, known))
        ]
        assert near == [], held


@pytest.mark.parametrize("path", sorted(HELD_OUT.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_author_of_the_test_covers_every_class_in_both_languages(path: Path) -> None:
    counts = Counter((e.label, e.lang) for e in read_file(path))
    assert all(counts[label, lang] >= 8 for label in DOMAINS | {"general"} for lang in ("en", "fr"))


def test_second_labels_are_classes() -> None:
    every = [*read_folder(DATA), *read_folder(DEV), *read_folder(HELD_OUT)]
    assert {e.also for e in every} <= DOMAINS | {"general", ""}
    assert [e.text for e in every if e.also == e.label] == []


def test_glossary_has_no_term_in_two_domains() -> None:
    terms = read_terms(DATA.parent / "terms.yaml")
    assert {term.label for term in terms} == DOMAINS | {"general"}
    counts = Counter((term.lang, term.text.casefold()) for term in terms)
    assert [term for term, count in counts.items() if count > 1] == []
