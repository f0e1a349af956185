"""The exemplars are fit to learn from, and the test prompts are not among them."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import yaml

import router
from router.exemplars import Exemplar, fold_of, read_file, read_folder, read_terms

DATA = Path(router.__file__).parent / "data"
UNSEEN = Path(__file__).parent / "data" / "unseen.yaml"
DOMAINS = {
    *("electronics", "embedded", "kicad", "spice", "emc", "dsp", "power", "iot"),
    *("security", "math", "python", "cpp"),
}
FILES = sorted(DATA.glob("*.yaml"))
# UTF-8 read as Latin-1 and the like, the replacement character, controls other than \t and \n
MOJIBAKE = re.compile(
    "\u00c3[\u0080-\u00bf]|\u00c2[\u0080-\u00bf]|\u00e2\u20ac|\ufffd|[\x00-\x08\x0b-\x1f]"
)


def unseen() -> list[dict[str, str]]:
    return yaml.safe_load(UNSEEN.read_text(encoding="utf-8"))["examples"]


def squashed(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if character.isalnum() and ord(character) < 768)


def word_set(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w{2,}", text.casefold()))


def test_there_is_a_file_for_each_domain_and_for_general() -> None:
    assert {path.stem for path in FILES} == DOMAINS | {"general"}
    assert all(exemplar.label == path.stem for path in FILES for exemplar in read_file(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_enough_of_both_languages_and_several_themes(path: Path) -> None:
    exemplars = read_file(path)
    languages = Counter(exemplar.lang for exemplar in exemplars)
    assert set(languages) == {"en", "fr"}
    assert len(exemplars) >= (400 if path.stem == "general" else 60)
    assert languages["fr"] * 3 >= len(exemplars)
    assert len({exemplar.theme for exemplar in exemplars}) >= 8


@pytest.mark.parametrize("path", [*FILES, UNSEEN, DATA.parent / "terms.yaml"], ids=lambda p: p.stem)
def test_no_mojibake(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert MOJIBAKE.findall(text) == []
    assert unicodedata.normalize("NFC", text) == text


def test_no_prompt_twice() -> None:
    counts = Counter(squashed(exemplar.text) or exemplar.text for exemplar in read_folder(DATA))
    assert [text for text, count in counts.items() if count > 1] == []


def test_test_prompts_are_not_training_prompts() -> None:
    trained = [word_set(exemplar.text) for exemplar in read_folder(DATA)]
    near = [
        row["text"]
        for row in unseen()
        for words in [word_set(row["text"])]
        if len(words) > 3 and any(len(words & t) / len(words | t) > 0.8 for t in trained)
    ]
    assert near == []
    exact = {squashed(exemplar.text) for exemplar in read_folder(DATA)}
    assert [
        row["text"] for row in unseen() if len(row["text"]) > 12 and squashed(row["text"]) in exact
    ] == []


def test_test_prompts_cover_every_class_in_both_languages() -> None:
    counts = Counter((row["domain"], row["lang"]) for row in unseen())
    assert all(counts[label, lang] >= 8 for label in DOMAINS | {"general"} for lang in ("en", "fr"))


def test_glossary_has_no_term_in_two_domains() -> None:
    terms = read_terms(DATA.parent / "terms.yaml", sorted(DOMAINS))
    assert len({term.label for term in terms}) == len(DOMAINS)
    counts = Counter((term.lang, term.text.casefold()) for term in terms)
    assert [term for term, count in counts.items() if count > 1] == []


def test_a_theme_is_never_split_between_train_and_dev() -> None:
    folds: dict[tuple[str, str], set[int]] = {}
    for exemplar in read_folder(DATA):
        folds.setdefault((exemplar.label, exemplar.theme), set()).add(fold_of(exemplar, 4))
    assert all(len(found) == 1 for found in folds.values())
    assert fold_of(Exemplar("a", "emc", "en", "esd"), 4) == fold_of(
        Exemplar("b", "emc", "fr", "esd"), 4
    )
