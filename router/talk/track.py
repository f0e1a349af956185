"""When a conversation changes its domain, and when a turn inherits it. Pure.

Each user turn is a step: its decision alone, and the one over all turns so far. With a topic
from earlier turns (or from the session), the first rule that holds decides:

a. no topic yet                                  -> the decision over all turns
b. the turn alone names the same domain          -> classified
c. it has a topic and names another one, surely,
   or as all turns together do                   -> that one
d. it names another one, hardly                  -> sticky: the topic stays
e. it has a topic that no domain claims, and all
   turns together no longer name the domain      -> out_of_domain: the topic ends
f. anything else (short, unsure)                 -> sticky
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.decision import Decision, Topic

SURE, SURE_FOLLOW_UP = 0.95, 0.2
"""A turn alone this probable, and leaning less than that on others, changes the domain at once."""
AGREED = 0.7
"""One this probable does where all turns together name its domain too."""
FOLLOW_UP = 0.5
"""A turn that leans this much on earlier ones ("and at 5 V?") neither changes nor ends a topic."""
OFF_TOPIC = 0.7
"""Out-of-domain score of a turn alone, from which it can end a topic."""

RULES = {
    "a": "no topic from earlier turns: all turns together decide",
    "b": "this turn alone names the domain of the turns before",
    "c": "this turn names another domain, and is sure enough to change to it",
    "d": "this turn names another domain, too weakly to leave that of the turns before",
    "e": "this turn has a topic of its own that no domain claims",
    "f": "this turn says too little by itself: the domain of the turns before stays",
}


@dataclass(frozen=True)
class Step:
    """One user turn: what it says by itself, and what all turns up to it say."""

    alone: Decision
    combined: Decision
    follow_up: float
    """Probability that the turn leans on what was said before it."""


def follow(steps: Sequence[Step], earlier: Topic | None) -> tuple[Decision, str]:
    """The decision for the last of the steps, oldest first, and the letter of its rule.

    ``earlier`` (a session's topic) counts only where the turns themselves left none.
    """
    topic: Topic | None = None
    for step in steps[:-1]:
        topic = _decide(step, topic)[0].topic
    return _decide(steps[-1], topic or earlier)


def _decide(step: Step, topic: Topic | None) -> tuple[Decision, str]:
    letter = rule_of(step, topic)
    if letter == "a" or topic is None:
        return _with_topic(step.combined), letter
    if letter == "b":
        same = step.combined.domain == topic.domain
        return _with_topic(step.combined if same else step.alone), letter
    if letter == "c":
        return _with_topic(step.alone), letter
    if letter == "e":
        return replace(step.alone, topic=None), letter
    stays = replace(
        step.combined,
        domain=topic.domain,
        confidence=topic.confidence,
        reason="sticky",
        topic=topic,
    )
    return stays, letter


def rule_of(step: Step, topic: Topic | None) -> str:
    """The letter of the rule that decides a step."""
    alone, has_topic = step.alone, step.follow_up < FOLLOW_UP
    if topic is None:
        return "a"
    if alone.domain == topic.domain:
        return "b"
    if alone.domain is not None:
        return "c" if has_topic and _is_sure(step) else "d"
    ends = alone.reason == "out_of_domain" and alone.outlier >= OFF_TOPIC and has_topic
    return "e" if ends and _leaves(step, topic) else "f"


def _leaves(step: Step, topic: Topic) -> bool:
    if step.combined is step.alone:  # nothing but a session to compare with
        return step.follow_up < SURE_FOLLOW_UP
    return step.combined.domain != topic.domain


def _is_sure(step: Step) -> bool:
    # a single turn agrees with itself: that says nothing
    together = step.combined is not step.alone and step.combined.domain == step.alone.domain
    agreed = together and step.alone.confidence >= AGREED
    return agreed or (step.alone.confidence >= SURE and step.follow_up < SURE_FOLLOW_UP)


def _with_topic(decision: Decision) -> Decision:
    if decision.domain is None:
        return decision
    return replace(decision, topic=Topic(decision.domain, decision.confidence))
