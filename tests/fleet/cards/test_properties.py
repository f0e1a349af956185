"""Whatever the text: a card comes out, the same from one line, and as JSON."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cards import parse_card
from fleet.cards.check import check_card
from fleet.cards.parse import MOST_CHARS
from tests.fleet.cards.texts import flattened, text_of

WHOLE = text_of("whole")
LINES = WHOLE.splitlines()
MARKS = st.sampled_from(
    (
        *("|", "|---|", "|---|---|\n", "# ", "## 2.1", "☒ Yes ", "☐ No ", "**", "`", "```", "~~~"),
        *("\n", "---\n", "<!--", "-->", "<br>", "\\|", "[a](b)", "- ", "> ", "\x01", "\x02", "\r"),
        *("1,000 ", "rank 16 ", "v1.2.3 ", "2025-13-40 ", "layers ", "Changelog ", "Records "),
        *("q_proj ", "é"),
    )
)
SCRAPS = st.lists(st.one_of(MARKS, st.text(max_size=20), st.sampled_from(LINES)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(SCRAPS)
def test_any_text_is_read_and_checked(scraps):
    card = parse_card("".join(scraps))
    check_card(card)
    assert card.as_dict()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, 400))
def test_a_card_that_is_cut_or_has_a_hole_is_read(start, size):
    check_card(parse_card(WHOLE[:start]))
    check_card(parse_card(WHOLE[:start] + WHOLE[start + size :]))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(["1.1", "1.2", "1.3", "2.1", "2.3", "2.4", "2.5", "3.1", "3.2"])))
def test_without_some_sections_both_forms_are_equal_and_each_is_missed(gone):
    kept: list[str] = []
    is_kept = True
    for line in LINES:
        if line.startswith("#"):
            is_kept = not any(line.lstrip("#").strip().startswith(f"{n}.") for n in gone)
        if is_kept:
            kept.append(line)
    text = "\n".join(kept)
    card = parse_card(text)
    assert parse_card(flattened(text)) == card
    missing = {
        f.place.split()[0] for f in check_card(card) if f.message == "the section is missing"
    }
    assert gone <= missing


@pytest.mark.parametrize(
    "unit",
    [
        *("# ", "# a ", "|", "|--", "x |--| ", "`", "**a?** ☒ ", "[a](", "<!--", "---\n", "a: "),
        *("1.2.", "1 a layers ", "**a** base 1 / ", "risk class ", "https://", "a@b.", "\n", "☒ "),
        *("- `https://a` — b ", "(§2.1", "# Evaluation (Art. 1(", "# 2.1 Public| a | |---| | x | "),
    ],
)
def test_much_of_one_thing_is_read(unit):
    """Each takes a second at most; with a rule that is quadratic it would be hours."""
    check_card(parse_card((unit * MOST_CHARS)[: MOST_CHARS // 4]))
