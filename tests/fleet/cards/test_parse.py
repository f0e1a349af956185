"""Cards as fields: whole, on one line, in other forms, and real ones where there are any."""

import json

import pytest

from fleet.cards import CardError, parse_card
from fleet.cards.model import Card, CardChange, CardResult
from fleet.cards.parse import MOST_CHARS
from tests.fleet.cards.texts import REAL, flattened, text_of

WHOLE = parse_card(text_of("whole"))
REAL_CARDS = sorted(REAL.glob("*.md")) if REAL.is_dir() else []


def test_front_matter():
    assert (WHOLE.license, WHOLE.base_model) == ("cc-by-4.0", "example-org/Tin-7B-Instruct")
    assert WHOLE.tags == ("lora", "example", "pst-2025-07-24")
    assert WHOLE.languages == ("en", "de")
    assert (WHOLE.library_name, WHOLE.pipeline_tag) == ("peft", "text-generation")


def test_general_information():
    assert WHOLE.provider.name.startswith("Bakery Lab (A. Miller), bakery on the hub;")
    assert WHOLE.provider.contact == ("https://bakery.example/issues", "post@bakery.example")
    assert WHOLE.provider.representative == "Not applicable: established in Austria."
    who = WHOLE.identification
    assert (who.name, who.version) == ("bakery/tin-bakery-lora", "1.2.0")
    assert who.dependencies == "A LoRA of rank 8 on example-org/Tin-7B-Instruct."
    assert who.placed_on == "2026-03-14"
    what = WHOLE.content
    assert what.modalities == ("Text", "Audio")
    assert what.size == "Less than 1 billion tokens"
    assert (what.records, what.tokens) == (4700, 1_200_000)
    assert what.types == "Recipes | questions, with answers of two lines."
    assert what.latest_acquisition == "11/2025 (the last cookbook)."
    assert what.languages == "English and German."


def test_sources():
    sources = WHOLE.sources
    used = {name: getattr(sources, name).used for name in type(sources).model_fields}
    assert used == dict.fromkeys(used, False) | {"public": True, "crawled": True}
    wheat, rye = sources.public.datasets
    assert wheat.model_dump() == {
        "name": "Loaves (wheat part)",
        "url": "https://hub.example/datasets/loaves",
        "license": "CC-BY-4.0",
        "records": 3200,
        "notes": "Questions of home bakers.",
    }
    assert (rye.records, rye.notes) == (500, None)
    (mills,) = sources.crawled.datasets
    assert (mills.url, mills.license, mills.records) == ("https://mills.example", "CC0-1.0", 1000)
    assert "breadbot" in sources.crawled.text
    assert sources.synthetic.text == "(No oven dreams.)"


def test_processing_evaluation_and_the_rest():
    assert WHOLE.processing.signatory is True
    assert WHOLE.processing.rights_reservation.startswith("- Public datasets (§2.1): open licences")
    assert "bakers were removed" in WHOLE.processing.illegal_content
    assert WHOLE.risk_class == "Minimal risk"
    assert WHOLE.evaluation.results == (
        CardResult(benchmark="BreadEval", base=(61.5,), adapter=(70.25,), delta=8.75),
    )
    assert WHOLE.limitations.endswith("- Oven temperatures are to be checked.")
    assert WHOLE.changelog[1] == CardChange(
        date="2026-04-02", version="v1.2.0", change="Figures of BreadEval"
    )
    how = WHOLE.training
    assert (how.rank, how.alpha, how.dropout, how.layers) == (8, 16.0, 0.1, 28)
    assert how.targets == ("q_proj", "v_proj")
    assert (how.scale, how.steps, how.learning_rate) == (None, None, None)


def test_flattened_is_equal():
    text = text_of("flattened")
    assert len(text.strip().splitlines()) == 1
    assert parse_card(text) == WHOLE


@pytest.mark.parametrize("name", ["sections", "faulty"])
def test_other_forms_flattened_are_equal(name):
    assert parse_card(flattened(text_of(name))) == parse_card(text_of(name))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n# ", "\n### ").replace("\n## ", "\n##### "),
        lambda text: text.replace("☒", "[x]").replace("☐", "[ ]"),
        lambda text: text.replace("\n| ", "\n|").replace(" |\n", "|\n"),
        lambda text: text.replace("**Modality** |", "**Modality**<br> |"),
        lambda text: text.replace("# 2. List", "<!-- a note\n# 2.6. --> \n# 2. List"),
    ],
    ids=["crlf", "bom", "levels", "brackets", "tight", "breaks", "comment"],
)
def test_form_does_not_matter(change):
    assert parse_card(change(text_of("whole"))) == WHOLE


def test_rows_without_outer_pipes_and_with_too_few_cells():
    text = "## 2.1. Publicly available datasets\nName | URL | Licence\n--- | --- | ---\nA | u\nB"
    (a,) = parse_card(text).sources.public.datasets
    assert (a.name, a.url, a.license) == ("A", "u", None)


def test_sections_in_other_words_and_answers_without_boxes():
    card = parse_card(text_of("sections"))
    assert (card.provider.name, card.provider.contact) == (
        "Tea House",
        ("https://tea.example/contact",),
    )
    assert (card.content.records, card.content.tokens) == (900, 90_000)
    assert card.content.modalities == ("Text",)
    assert card.sources.public.used is True
    assert (card.sources.user.used, card.sources.synthetic.used) == (False, False)
    assert (card.sources.private, card.sources.other) == (None, None)
    assert card.risk_class == "Limited risk (Art. 50)"
    assert (card.training.rank, card.training.learning_rate) == (4, 0.0002)
    assert card.languages == ("en",)
    (tea,) = card.evaluation.results
    assert (tea.base, tea.adapter) == ((0.52,), (0.47,))


def test_no_front_matter():
    text = text_of("whole").split("---\n", 2)[2]
    card = parse_card(text)
    assert (card.license, card.base_model, card.tags) == (None, None, None)
    assert card.provider == WHOLE.provider
    assert card.sources == WHOLE.sources


@pytest.mark.parametrize("text", ["", "---", "--- a", "# Title only", "| a |\n|---|", "\x00\x01"])
def test_a_text_that_says_nothing_is_a_card_of_nones(text):
    card = parse_card(text)
    assert card == Card(**{name: getattr(card, name) for name in ("sections", "claims")})
    assert card.claims == ()


@pytest.mark.parametrize(
    "front",
    ["license: [", "license: &a [*a]", "{", "? a", "license: {a: b}", "[" * 3000, "a: 2026-02-30"],
)
def test_front_matter_that_is_no_yaml_does_no_harm(front):
    card = parse_card(f"---\n{front}\nx: y\n---\n# 1.1. Provider identification\nhello")
    assert "provider" in card.sections


def test_numbered_question_with_both_boxes_is_no_answer():
    text = "## 2.4. User data\n**A?** ☒ Yes ☒ No\n**B?** ☐ Yes ☒ No"
    assert parse_card(text).sources.user.used is None


def test_as_dict_is_json():
    assert Card.model_validate(json.loads(json.dumps(WHOLE.as_dict()))) == WHOLE


def test_too_long():
    with pytest.raises(CardError, match="at most"):
        parse_card("x" * (MOST_CHARS + 1))


needs_real = pytest.mark.skipif(
    not REAL_CARDS, reason=f"no real cards in {REAL}; set AILIANCE_CARDS to their folder"
)


@needs_real
@pytest.mark.parametrize("file", REAL_CARDS, ids=lambda file: file.stem)
def test_real_cards_have_the_same_fields(file):
    text = file.read_text(encoding="utf-8")
    card = parse_card(text)
    assert parse_card(flattened(text)) == card
    assert card.license == "apache-2.0"
    assert card.base_model.count("/") == 1
    assert card.provider.name
    assert card.provider.contact
    assert card.identification.name
    assert card.identification.placed_on == "2026-05-06"
    assert card.content.modalities == ("Text",)
    assert card.content.records
    assert card.content.tokens
    assert card.sources.public.used is True
    assert card.sources.public.datasets[0].license
    assert (card.sources.user.used, card.sources.synthetic.used) == (False, False)
    assert card.processing.rights_reservation
    assert card.evaluation.text
    assert card.limitations
    assert card.changelog
    assert card.risk_class.startswith("Limited risk")
    how = card.training
    assert (how.rank, how.alpha, how.dropout, how.layers) == (16, 32.0, 0.05, 32)
    assert how.targets == ("k_proj", "o_proj", "q_proj", "v_proj")


@needs_real
def test_real_figures():
    found = {
        result.benchmark: (result.base, result.adapter, result.delta)
        for file in REAL_CARDS
        for result in parse_card(file.read_text(encoding="utf-8")).evaluation.results
    }
    assert found == {
        "HumanEval": ((87.2,), (85.98,), -1.22),
        "HumanEval+": ((87.2, 82.9), (86.0, 81.1), -1.8),
    }
