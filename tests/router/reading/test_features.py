"""Features: same text, same columns; accents and case fold; junk never fails; cost is bounded."""

import numpy as np
import pytest

from router.reading import cues, features

IDF = np.ones(features.WIDTH, np.float32)


def columns(text: str) -> set[int]:
    return set(features.row(features.extract(text), IDF).columns.tolist())


def words(text: str) -> set[int]:
    return set(features.extract(text).words.tolist())


def cue_names(text: str) -> set[str]:
    return {cues.NAMES[column] for column in cues.find(text.lower())}


def test_a_word_has_one_column_wherever_it_stands() -> None:
    assert words("threshold chatter") == words("chatter? a threshold!") - words("a")


def test_columns_are_pinned_so_that_weights_stay_valid() -> None:
    assert features.extract("buck converter").words.tolist() == [85203, 115837]


def test_case_and_accents_fold_and_accents_also_count() -> None:
    plain, accented = columns("masse flottante etagee"), columns("Masse Flottante étagée")
    assert plain <= accented
    assert len(words("étagée")) == 2


def test_long_text_is_its_first_and_last_part() -> None:
    text = "start " + "x" * 1_000_000 + " finish"
    kept = features.excerpt(text)
    assert len(kept) <= features.HEAD_CHARS + features.TAIL_CHARS + 1
    assert kept.startswith("start")
    assert kept.endswith("finish")


def test_each_block_has_unit_length() -> None:
    grams = features.extract("a gate driver without any cue")
    row = features.row(grams, IDF)
    expected = features.WORD_SHARE**2 + features.LETTER_SHARE**2
    expected += len(grams.cues) * features.CUE_VALUE**2
    assert float(row.values @ row.values) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\0" * 500,
        "🎉🎉",
        "مرحبا بالعالم",
        "\ud800",
        "ﷺ" * 5000,
        "é" * 9000,
        "a",
        "\x1b[0m",
    ],
)
def test_junk_never_fails(text: str) -> None:
    row = features.row(features.extract(features.excerpt(text)), IDF)
    assert np.isfinite(row.values).all()
    assert len(row.columns) == 0 or 0 <= row.columns.min() <= row.columns.max() < features.WIDTH


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("```python\nprint(1)\n```", "fence_python"),
        ("#include <vector>", "c_include"),
        ("std::vector<int> v;", "cpp_code"),
        ("def f(x):\n  return x", "python_code"),
        (".subckt opamp in out", "spice_card"),
        ("R1 in out 4k7\nC1 out 0 100n", "spice_line"),
        ("open board.kicad_pcb", "kicad_file"),
        ("is R1 4k7 ok", "refdes"),
        ("is R1 4k7 ok", "value_ohm"),
        ("EN 55032 class B", "emc_standard"),
        ("en61000-4-2 level 3", "emc_standard"),
        ("an stm32f411 board", "mcu"),
        ("main.py fails", "python_file"),
        ("see CVE-2021-44228", "security_id"),
        ("40 dBµV at 30 MHz", "value_hertz"),
        ("register 0x40021000", "hex"),
    ],
)
def test_cue(text: str, cue: str) -> None:
    assert cue in cue_names(text)


def test_plain_talk_has_no_cue() -> None:
    assert cue_names("what shall we have for dinner tonight") == set()
