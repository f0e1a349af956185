"""Explanations: the rule that decided, the limits missed, what would change it, hard texts."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import DEFAULT_WEIGHTS, Router, Topic
from router.explaining import Explanation, explain, lines
from router.explaining.shown import width
from router.explaining.terminal import COLUMNS
from router.policy import RULES, Thresholds
from router.reading.head import Outlier, SentenceHead, softmax
from router.talk import track
from tests.router.explaining.tiny import FixedEncoder, blank, random_weights, teach

WORDS = ("buck", "emissions", "inductor", "lisn")
RANDOM = Router(random_weights())
SPELLING = Router(replace(random_weights(), words=(*WORDS, "aaaa", "abba", "réseau")))


@pytest.fixture(scope="module")
def shipped() -> Router:
    return Router.load(DEFAULT_WEIGHTS)


def taught(
    limits: Thresholds | None = None,
    outlier: Outlier | None = None,
    words: tuple[str, ...] = (),
) -> Router:
    weights = blank(limits=limits, outlier=outlier, words=words)
    for word, label, weight in [
        ("lisn", "emc", 6.0),
        ("emissions", "emc", 4.0),
        ("buck", "power", 6.0),
        ("inductor", "power", 4.0),
        ("dinner", "general", 8.0),
    ]:
        teach(weights, word, label, weight)
    return Router(weights, digest="0123456789abcdef")


def ask(router: Router, *texts: str, earlier: Topic | None = None) -> Explanation:
    return explain(router, [("user", text) for text in texts], earlier)


def check_shape(explanation: Explanation) -> dict[str, Any]:
    as_dict = explanation.as_dict()
    json.dumps(as_dict, ensure_ascii=False, allow_nan=False).encode()
    for line in lines(explanation):
        assert width(line) <= COLUMNS
        assert line.isprintable()
    return as_dict


def changes(explanation: Explanation) -> dict[str, str | None]:
    return {change.change: change.domain for change in explanation.changes}


def test_the_shipped_router_explains_itself(shipped: Router) -> None:
    text = "EN 55032 class B conducted emissions fail at 180 kHz, LISN setup"
    found = ask(shipped, text)
    as_dict = check_shape(found)
    assert found.decision == shipped.classify([("user", text)])
    assert as_dict["decision"]["domain"] == "emc"
    assert as_dict["router"] == shipped.digest[:12]
    assert as_dict["rule"] == {"name": "5", "sentence": RULES[5]}
    assert list(as_dict["scores"].values()) == sorted(as_dict["scores"].values(), reverse=True)
    assert set(as_dict["scores"]) == {*shipped.domains, "general"}
    assert as_dict["terms"]["best"] == "emc"
    assert "emissions" in {term["text"] for term in as_dict["terms"]["for"]}
    assert len(as_dict["nearest"]) == 5
    assert as_dict["nearest"][0]["label"] == "emc"


def test_terms_of_the_shipped_router_add_up(shipped: Router) -> None:
    text = "Mon étage de sortie à MOSFET chauffe : IRF540N, 12 V -> 5 V, std::move ?"
    terms = ask(shipped, text).terms
    assert terms is not None
    if terms.halves is None:
        logits = shipped.trace([("user", text)]).readings[0].logits
        top = np.sort(logits)[::-1]
        total = sum(term.contribution for term in terms.contrast.terms) + terms.contrast.bias
        assert total == pytest.approx(float(top[0] - top[1]), rel=1e-3)


def test_rule_table_of_a_clear_text() -> None:
    found = ask(taught(), "LISN emissions")
    assert (found.rule, found.sentence, found.measured_on) == ("5", RULES[5], "the text")
    assert [(check.rule, check.held) for check in found.checks] == [
        *((1, False), (2, False), (3, False), (4, False), (5, True))
    ]
    assert [check.limit for check in found.checks] == [0.0, 0.5, 0.4, 0.05, 0.4]
    assert found.checks[2].value == found.decision.confidence
    assert found.digest == "0123456789ab"


def test_one_word_that_decides_is_named() -> None:
    found = ask(taught(), "is this LISN of the buck converter or not")
    assert found.decision.reason == "ambiguous"
    assert changes(found)['without "lisn"'] == "power"
    assert changes(found)['without "buck"'] == "emc"


def test_words_that_only_together_decide_are_tried_together() -> None:
    found = ask(taught(), "LISN emissions")
    assert [change.domain for change in found.changes] == ["emc", None]
    assert "no other domain" in found.changes[0].change
    assert found.changes[1].change == 'without "lisn" and "emissions"'


def test_a_missed_outlier_limit_says_by_how_much() -> None:
    sometimes = Outlier(np.zeros(5, np.float32), 0.5)
    found = ask(taught(outlier=sometimes), "LISN emissions")
    assert (found.rule, found.decision.domain) == ("2", None)
    assert found.changes[0].change == "outlier 0.6225 >= 0.5000: with a limit above 0.6225"
    assert (found.changes[0].domain, found.changes[0].reason) == ("emc", "classified")


def test_two_missed_limits_are_both_named() -> None:
    limits = Thresholds(outlier=0.5, margin=0.05, any_domain=0.999, per_domain={"emc": 0.99999})
    sometimes = Outlier(np.zeros(5, np.float32), 0.5)
    first = ask(taught(limits, sometimes), "LISN emissions").changes[0]
    assert "; and emc 0.9" in first.change
    assert "< 1.0000" in first.change
    assert first.domain == "emc"


def test_a_missed_margin_says_so() -> None:
    found = ask(taught(), "LISN buck")
    assert found.rule == "4"
    assert found.changes[0].change.startswith("lead over power 0.0000 < 0.0500")
    assert found.changes[0].domain == "emc"


def test_nothing_known_has_no_limit_to_move() -> None:
    router = Router(replace(blank(), seen=np.zeros_like(blank().seen)))
    found = ask(router, "LISN emissions")
    assert found.rule == "1"
    assert all("limit" not in change.change for change in found.changes)


def test_several_turns_have_shares_and_their_own_domains() -> None:
    found = ask(taught(), "LISN emissions", "buck inductor", "and then?")
    assert [(turn.turn, turn.alone, turn.after) for turn in found.turns] == [
        *((1, "emc", "emc"), (2, "power", "power"), (3, None, "power"))
    ]
    assert sum(turn.share for turn in found.turns) == pytest.approx(1.0)
    assert (found.rule, found.sentence) == ("f", track.RULES["f"])
    assert (found.measured_on, found.scored_on) == (
        "the newest turn alone",
        "all turns together",
    )
    assert found.terms is not None
    assert found.terms.turn == 3
    check_shape(found)


def test_turns_that_decide_together_explain_the_one_with_the_largest_share() -> None:
    found = ask(taught(), "what about a nice dinner tonight", "dinner", "dinner of my friends now")
    assert found.rule == "a"
    assert found.measured_on == found.scored_on == "all turns together"
    assert found.terms is not None
    largest = max(found.turns, key=lambda turn: turn.share)
    assert found.terms.turn == largest.turn


def test_an_earlier_topic_is_explained_by_its_letter() -> None:
    found = ask(taught(), "and then?", earlier=Topic("emc", 0.9))
    assert (found.rule, found.decision.reason) == ("f", "sticky")
    assert found.turns == []
    assert found.decision.domain == "emc"


def test_words_are_removed_from_the_turn_that_is_explained() -> None:
    found = ask(taught(), "LISN emissions", "buck")
    assert found.decision.domain == "power"
    assert changes(found) == {'without "buck"': "emc"}


def test_an_errand_is_named_as_such() -> None:
    text = "Generate a concise title for this conversation"
    found = ask(taught(), text)
    assert (found.rule, found.decision.domain) == ("housekeeping", None)
    assert "errand" in found.sentence
    assert check_shape(found)["terms"] is None
    assert found.changes == found.nearest == found.checks == []


def test_signals_are_those_of_the_outlier_score() -> None:
    names = ["lead_of_general", "log_best", "log_margin", "known_letters", "energy"]
    found = ask(taught(), "LISN emissions").signals
    assert list(found) == [*names, "topic_words", "follow_up"]


def test_a_mistyped_text_is_explained_as_it_is_read() -> None:
    router = taught(words=WORDS)
    typed, clean = ask(router, "LSIN emisssions"), ask(router, "lisn emissions")
    assert typed.read_as == {"lsin": "lisn", "emisssions": "emissions"}
    assert clean.read_as == {}
    assert typed.terms == clean.terms
    assert typed.nearest == clean.nearest
    assert typed.checks == clean.checks
    assert typed.changes == clean.changes
    assert check_shape(typed)["read_as"] == typed.read_as
    (at,) = [n for n, line in enumerate(lines(typed)) if line.startswith("typing errors")]
    assert lines(typed)[at + 1] == "  lsin -> lisn, emisssions -> emissions"
    assert not any("typing errors" in line for line in lines(clean))


@pytest.mark.parametrize(
    "text", ["Emisions of the bukc,induktor", "lsin lisn LISN-lsni éinductor buck2 lisnn_"]
)
def test_terms_of_a_mistyped_text_add_up(text: str) -> None:
    terms = ask(SPELLING, text).terms
    assert terms is not None
    logits = SPELLING.trace([("user", text)]).readings[0].logits
    top = np.sort(logits)[::-1]
    total = sum(term.contribution for term in terms.contrast.terms) + terms.contrast.bias
    assert total == pytest.approx(terms.contrast.difference)
    assert total == pytest.approx(float(top[0] - top[1]), rel=1e-3, abs=1e-5)


def test_mistyped_words_are_left_out_as_they_were_typed() -> None:
    found = ask(taught(words=WORDS), "is this lisnn of a bucc converter, the LISN, buck or not")
    assert found.decision.reason == "ambiguous"
    assert changes(found)['without "lisn"'] == "power"
    assert changes(found)['without "buck"'] == "emc"


def test_corrections_are_those_of_the_turn_that_is_explained() -> None:
    router = taught(words=WORDS)
    assert ask(router, "lsin emissions", "bukc inductor").read_as == {"bukc": "buck"}


def test_the_shipped_router_shows_what_it_read(shipped: Router) -> None:
    found = ask(shipped, "my snubbr on the convertre")
    assert found.read_as == {"snubbr": "snubber", "convertre": "converter"}
    check_shape(found)


def test_a_known_word_that_is_not_all_letters_can_still_be_left_out() -> None:
    weights = replace(blank(), words=("lisn\u2044buck",))
    weights.matrix[:, 0] = 1.0
    check_shape(ask(Router(weights), "lisn½buck"))
    found = ask(Router(replace(weights, words=("ab1\u20442",))), "abb½ dinner")
    assert found.read_as == {}
    check_shape(found)


def test_with_a_sentence_encoder_both_halves_are_given() -> None:
    head = SentenceHead("tiny", "", np.array([[0, 3, 0], [0, 0, 0]], np.float32), np.zeros(3), 1.0)
    weights = replace(taught().weights, sentence=head)
    found = ask(Router(weights, "", FixedEncoder()), "LISN emissions")
    assert found.terms is not None
    assert found.terms.halves is not None
    ngrams, sentence = found.terms.halves
    assert found.decision.scores["emc"] == pytest.approx((ngrams + sentence) / 2, abs=1e-5)
    expected = softmax(np.array([0, 3, 0], np.float32))[0]
    assert sentence == pytest.approx(float(expected), abs=1e-4)
    as_dict = check_shape(found)
    assert "n-gram half only" in as_dict["terms"]["note"]
    assert any("n-gram half only" in line for line in lines(found))


JUNK = [
    "",
    " \n\t",
    "\0" * 500,
    "lisn\0emissions\0",
    "🎉🎉 LISN 🎉",
    "\ud800\udfff lisn",
    "x" * 1_000_000,
    "lisn emissions " * 70_000,
    "ﷺ" * 5000,
    bytes(range(256)).decode("latin-1") * 40,
    "\x1b[31m\u202e\u200b",
    "你好,今天天气怎么样 " * 300,
    "-> " * 2000,
]


@pytest.mark.parametrize("text", JUNK, ids=range(len(JUNK)))
def test_junk_never_fails(shipped: Router, text: str) -> None:
    for router in (shipped, RANDOM, SPELLING, taught()):
        found = ask(router, text)
        check_shape(found)
        assert found.decision == router.classify([("user", text)])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text(st.characters(codec=None), max_size=60), max_size=4),
    st.lists(st.sampled_from([*WORDS, "lsin", "bukc", "Emisions", "abaa", "re\u0301saux"])),
    st.booleans(),
)
def test_no_conversation_fails(texts: list[str], words: list[str], known: bool) -> None:
    earlier = Topic("emc", 0.8) if known else None
    texts = [*texts, " ".join(words)]
    found = ask(SPELLING, *texts, earlier=earlier)
    check_shape(found)
    assert found.decision == SPELLING.classify([("user", text) for text in texts], earlier)
    json.dumps(found.as_dict())


def test_floats_have_four_places() -> None:
    def floats(value: Any) -> list[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [number for each in value for number in floats(each)]
        return [value] if isinstance(value, float) else []

    found = floats(ask(taught(), "LISN emissions", "buck").as_dict())
    assert found
    assert all(number == round(number, 4) for number in found)


def test_the_words_of_a_prompt_are_logged_nowhere(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ask(taught(), "LISN emissions")
    out, err = capsys.readouterr()
    assert (out, err, caplog.text) == ("", "", "")
