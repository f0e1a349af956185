"""When a conversation keeps, changes and ends its topic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.decision import Decision, Reason, Topic
from router.talk.track import RULES, Step, follow, rule_of

EMC = Topic("emc", 0.9)


def decision(domain: str | None, confidence: float = 0.8, outlier: float = 0.1) -> Decision:
    reason: Reason = "classified"
    if domain is None:
        reason = "out_of_domain" if outlier >= 0.7 else "low_confidence"
    return Decision(domain, confidence, reason, {}, outlier)


def step(alone: Decision, combined: Decision | None = None, follow_up: float = 0.05) -> Step:
    return Step(alone, combined or alone, follow_up)


UNSURE = step(decision(None, 0.2), follow_up=0.8)
THANKS = step(decision(None, 0.1, outlier=0.95), follow_up=0.99)
RECIPE = step(decision(None, 0.1, outlier=0.95))


@pytest.mark.parametrize(
    ("seen", "topic", "letter", "domain", "reason"),
    [
        (step(decision("emc")), None, "a", "emc", "classified"),
        (UNSURE, None, "a", None, "low_confidence"),
        (step(decision("emc", 0.4)), EMC, "b", "emc", "classified"),
        (step(decision("power", 0.97), decision("emc", 0.5)), EMC, "c", "power", "classified"),
        (step(decision("power", 0.8), decision("power", 0.5)), EMC, "c", "power", "classified"),
        (step(decision("power", 0.97), None, 0.6), EMC, "d", "emc", "sticky"),
        (step(decision("power", 0.97), decision("emc", 0.5), 0.3), EMC, "d", "emc", "sticky"),
        (step(decision("power", 0.6), decision("power", 0.5)), EMC, "d", "emc", "sticky"),
        (step(decision("power", 0.4), decision("emc", 0.5)), EMC, "d", "emc", "sticky"),
        (step(decision("power", 0.4), decision(None)), EMC, "d", "emc", "sticky"),
        (RECIPE, EMC, "e", None, "out_of_domain"),
        (step(RECIPE.alone, decision("emc", 0.6)), EMC, "f", "emc", "sticky"),
        (THANKS, EMC, "f", "emc", "sticky"),
        (UNSURE, EMC, "f", "emc", "sticky"),
    ],
)
def test_rules(
    seen: Step, topic: Topic | None, letter: str, domain: str | None, reason: str
) -> None:
    assert rule_of(seen, topic) == letter
    made, told = follow([seen], topic)
    assert (told, made.domain, made.reason) == (letter, domain, reason)
    assert letter in RULES


def test_sticky_states_the_confidence_with_which_the_topic_was_read() -> None:
    made, _ = follow([UNSURE], EMC)
    assert made.confidence == EMC.confidence


def test_a_topic_lasts_through_thanks_and_ends_with_a_recipe() -> None:
    first = step(decision("emc", 0.9))
    assert follow([first, THANKS, UNSURE], None)[0].domain == "emc"
    assert follow([first, RECIPE, UNSURE], None)[0].domain is None
    assert follow([first, RECIPE], None)[0].topic is None


def test_turns_of_the_request_count_before_the_session() -> None:
    first = step(decision("power", 0.9))
    assert follow([first, UNSURE], EMC)[0].domain == "power"
    assert follow([UNSURE], EMC)[0].domain == "emc"


def test_a_passing_word_does_not_bounce() -> None:
    first = step(decision("emc", 0.9))
    passing = step(decision("python", 0.45), decision("emc", 0.6))
    domains = [follow([first, *[passing] * n], None)[0].domain for n in range(4)]
    assert domains == ["emc"] * 4


decisions = st.builds(
    decision,
    st.sampled_from([None, "emc", "power", "python"]),
    st.floats(0, 1),
    st.floats(0, 1),
)
steps = st.builds(Step, decisions, decisions, st.floats(0, 1))


@given(st.lists(steps, min_size=1, max_size=8), st.none() | st.just(EMC))
def test_whatever_the_turns(seen: list[Step], earlier: Topic | None) -> None:
    made, letter = follow(seen, earlier)
    assert letter in RULES
    assert (made.domain is None) == (made.reason not in ("classified", "sticky"))
    if made.domain is not None:
        assert made.topic is not None
        assert made.topic.domain == made.domain
