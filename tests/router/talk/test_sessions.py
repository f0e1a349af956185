"""Sessions remember a topic, within a number and an age."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from router.decision import Topic
from router.talk.sessions import Sessions

EMC, DSP = Topic("emc", 0.9), Topic("dsp", 0.7)


def test_a_session_is_remembered_until_it_is_old() -> None:
    sessions = Sessions(most_age_s=10.0)
    sessions.keep("a", EMC, 0.0)
    assert sessions.topic("a", 10.0) == EMC
    assert sessions.topic("a", 10.1) is None
    assert sessions.topic("b", 0.0) is None


def test_the_least_recent_is_forgotten_first() -> None:
    sessions = Sessions(most=2)
    for name in ("a", "b"):
        sessions.keep(name, EMC, 0.0)
    sessions.keep("a", DSP, 1.0)
    sessions.keep("c", EMC, 2.0)
    assert [sessions.topic(name, 2.0) for name in "abc"] == [DSP, None, EMC]


def test_an_ended_topic_forgets_the_session() -> None:
    sessions = Sessions()
    sessions.keep("a", EMC, 0.0)
    sessions.keep("a", None, 1.0)
    assert (len(sessions), sessions.topic("a", 1.0)) == (0, None)


def test_old_sessions_leave_memory_when_others_come() -> None:
    sessions = Sessions(most_age_s=10.0)
    for number in range(50):
        sessions.keep(str(number), EMC, 0.0)
    sessions.keep("new", EMC, 20.0)
    assert len(sessions) == 1


def test_any_text_is_a_name() -> None:
    sessions = Sessions()
    sessions.keep("\ud800 \0 é", EMC, 0.0)
    assert sessions.topic("\ud800 \0 é", 0.0) == EMC


class Remembering(RuleBasedStateMachine):
    """Against a plain dictionary: never more than the bounds, never a wrong topic."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions, self.plain, self.now_s = Sessions(most=3, most_age_s=5.0), {}, 0.0

    @rule(name=st.sampled_from("abcdef"), topic=st.sampled_from([EMC, DSP, None]))
    def keep(self, name: str, topic: Topic | None) -> None:
        self.sessions.keep(name, topic, self.now_s)
        self.plain[name] = (topic, self.now_s)

    @rule(by_s=st.floats(0, 4))
    def wait(self, by_s: float) -> None:
        self.now_s += by_s

    @rule(name=st.sampled_from("abcdef"))
    def ask(self, name: str) -> None:
        found = self.sessions.topic(name, self.now_s)
        if found is not None:
            topic, at_s = self.plain[name]
            assert found == topic
            assert self.now_s - at_s <= 5.0

    @invariant()
    def bounded(self) -> None:
        assert len(self.sessions) <= 3


TestRemembering = Remembering.TestCase
