"""The embedded adapters' cards: what the files say, and nothing wrong with them."""

import pytest

from demo import root
from demo.cards import CORPUS_IS_AI_MADE, card_path, card_text
from demo.fleet_plan import ADAPTERS, AdapterPlan
from fleet.cards import parse_card
from fleet.load import load_fleet
from gateway.cards.cli import check_adapter

FLEET = load_fleet(root().parent / "adapters.yaml")


@pytest.mark.parametrize("plan", ADAPTERS, ids=lambda plan: plan.domain)
def test_card_is_what_the_files_say(plan: AdapterPlan) -> None:
    """After a change of them: python -m demo.cards."""
    assert card_path(plan).read_text(encoding="utf-8") == card_text(plan)


@pytest.mark.parametrize("name", FLEET.adapters)
def test_card_is_clean(name: str) -> None:
    findings = check_adapter(FLEET, name).findings
    # who wrote the corpus is not recorded: the card does not pretend that it were
    open_question = [("warning", "unanswered", "2.5")] if CORPUS_IS_AI_MADE is None else []
    assert [(f.severity, f.kind, f.place) for f in findings] == open_question


def test_what_a_card_says() -> None:
    card = parse_card(card_path(ADAPTERS[0]).read_text(encoding="utf-8"))
    assert (card.license, card.base_model) == ("apache-2.0", "demo/models/apertus")
    assert card.content.records == 160
    assert [d.license for d in card.sources.other.datasets] == ["Apache-2.0", "Apache-2.0"]
    assert (card.sources.crawled.used, card.sources.user.used) == (False, False)
    assert (card.training.rank, card.training.layers) == (16, 6)
    assert [r.adapter for r in card.evaluation.results] == [(100.0,), (98.5,)]
