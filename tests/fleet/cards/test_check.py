"""Findings inside a card: a sound one has none, a faulty one each of its faults."""

import pytest

from fleet.cards import parse_card
from fleet.cards.check import check_card, month_of
from fleet.cards.licences import is_unknown, strangers
from tests.fleet.cards.texts import REAL, text_of

WHOLE = text_of("whole")


def found(text):
    return [(f.severity, f.kind, f.place.split()[0]) for f in check_card(parse_card(text))]


def test_a_sound_card_has_no_findings():
    assert check_card(parse_card(WHOLE)) == []


def test_every_fault_of_a_faulty_card():
    assert found(text_of("faulty")) == [
        ("error", "no-licence", "front"),
        ("warning", "repeated", "front"),
        ("error", "missing", "2.6"),
        ("error", "missing", "3.2"),
        ("warning", "missing", "Limitations"),
        ("warning", "unanswered", "2.4"),
        ("error", "contradiction", "1.2"),  # versions
        ("error", "contradiction", "1.2"),  # ranks
        ("error", "contradiction", "training"),
        ("error", "contradiction", "1.3"),  # acquired after placement
        ("warning", "contradiction", "front"),  # languages
        ("error", "contradiction", "2.1"),  # No, and a list
        ("error", "unlicensed", "2.1"),
        ("error", "unlicensed", "2.1"),
        ("warning", "unknown-licence", "2.1"),
        ("error", "missing", "2.2.1"),  # Yes, and no list
        ("error", "contradiction", "1.3"),  # records
        ("warning", "contradiction", "3.1"),
        ("error", "contradiction", "evaluation"),
        ("warning", "worse-than-base", "evaluation"),
    ]


def test_every_finding_says_what_and_how_to_mend_it():
    for finding in check_card(parse_card(text_of("faulty"))):
        assert finding.message
        assert finding.mend
        assert "\n" not in finding.message + finding.mend


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("v1.2.0) |", "v1.1.0) |", ("error", "contradiction", "1.2")),
        ("rank 8, alpha", "rank 4, alpha", ("error", "contradiction", "1.2")),
        ("num_layers=28", "num_layers=32", ("error", "contradiction", "1.3")),
        ("| 3,200 |", "| 3,100 |", ("error", "contradiction", "1.3")),
        ("| 3,200 |", "| merged |", ("warning", "uncounted", "2")),
        ("| `MIT` |", "| merged |", ("error", "unlicensed", "2.1")),
        ("| `MIT` |", "|  |", ("error", "unlicensed", "2.1")),
        ("| `MIT` |", "| vendor-permissive |", ("error", "unlicensed", "2.1")),
        ("| `MIT` |", "| Rye terms |", ("warning", "unknown-licence", "2.1")),
        ("license: cc-by-4.0\n", "", ("error", "no-licence", "front")),
        ("base_model: example-org/Tin-7B-Instruct\n", "", ("error", "missing", "front")),
        ("2026-03-14 |\n## 1.3", "spring |\n## 1.3", ("warning", "no-date", "1.2")),
        ("11/2025 (the", "11/2026 (the", ("error", "contradiction", "1.3")),
        ("date:** 11/2025", "date:** 12/2025", ("error", "contradiction", "2.3")),
        ("= **+8.75", "= **+9.75", ("error", "contradiction", "evaluation")),
        ("Minimal risk.", "Limited risk (Art. 52).", ("warning", "article", "3.3")),
        (
            "**BreadEval** (",
            "It was not yet evaluated. (",
            ("warning", "not-evaluated", "evaluation"),
        ),
        (
            "# Appendix E",
            "# Notes\nIt was not evaluated.\n# Appendix E",
            ("warning", "contradiction", "evaluation"),
        ),
    ],
)
def test_one_change_is_one_finding(old, new, expected):
    assert old in WHOLE
    assert expected in found(WHOLE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2026-05-06", (2026, 5)),
        ("10/2025 (last)", (2025, 10)),
        ("2026-13-01", None),
        ("13/2025", None),
        ("soon", None),
        (None, None),
    ],
)
def test_month_of(text, month):
    assert month_of(text) == month


@pytest.mark.parametrize(
    "text",
    ["MIT", "apache-2.0", "Apache-2.0 OR MIT", "MIT / BSD-3-Clause (part)", "LicenseRef-Ours"],
)
def test_licences_that_are_known(text):
    assert strangers(text) == []
    assert not is_unknown(text)


@pytest.mark.parametrize("text", [None, "", "other", "Unknown", "merged", "per-vendor permissive"])
def test_words_that_name_no_licence(text):
    assert is_unknown(text)


REAL_ERRORS = {
    "apertus-electronics-hw-lora": {("contradiction", "1.2"), ("unlicensed", "2.2.2")},
    "devstral-cpp-lora": {("contradiction", "1.2")},
    "eu-kiki-devstral-python-lora": {("missing", "2.2.2"), ("missing", "2.6"), ("missing", "3.2")},
}


@pytest.mark.parametrize("name", REAL_ERRORS)
def test_errors_of_real_cards(name):
    file = REAL / f"{name}.md"
    if not file.is_file():
        pytest.skip(f"no {file}; set AILIANCE_CARDS to the folder of real cards")
    errors = {(k, p) for s, k, p in found(file.read_text(encoding="utf-8")) if s == "error"}
    assert errors == REAL_ERRORS[name]
