"""Typing errors: one in each run of four words, one letter each, the same for the same seed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from router.learning.typos import mistype

WORDS = st.lists(st.text(st.sampled_from("abÉ漢-1'"), min_size=1, max_size=7), max_size=20)


def is_long(word: str) -> bool:
    return sum(map(str.isalpha, word)) >= 4


@settings(deadline=None)
@given(WORDS, st.sampled_from([" ", "\n", "  \t"]), st.integers(0, 5))
def test_one_long_word_of_each_four_has_a_typo(words: list[str], blank: str, seed: int) -> None:
    typed = mistype(blank.join(words), seed).split(blank)
    assert len(typed) == max(1, len(words))
    for start in range(0, len(words), 4):
        before, after = words[start : start + 4], typed[start : start + 4]
        changed = [old for old, new in zip(before, after, strict=True) if old != new]
        assert len(changed) == any(map(is_long, before))
        assert all(map(is_long, changed))


@settings(deadline=None)
@given(WORDS)
def test_a_typo_is_one_letter_and_never_the_first(words: list[str]) -> None:
    typed = mistype(" ".join(words), 1).split(" ")
    for old, new in zip(words, typed, strict=False):
        assert abs(len(old) - len(new)) <= 1
        assert old[:1] == new[:1]


def test_every_kind_of_typo_comes_up() -> None:
    found = {mistype("abcd", seed) for seed in range(400)}
    assert {"acbd", "abdc", "acd", "abd", "abc", "abbcd", "abccd", "abcdd", "abxd"} <= found
    assert "abcd" not in found


def test_same_seed_same_typos() -> None:
    text = "which common mode choke would you take for this converter"
    assert mistype(text, 3) == mistype(text, 3)
    assert len({mistype(text, seed) for seed in range(20)}) > 10
