"""Which turns count; and clients' errands never reach a specialist."""

import numpy as np
import pytest

from router.decision import Turn
from router.reading.head import Reading
from router.talk import turns as talk
from router.talk.housekeeping import is_housekeeping


def reading(topic_words: float, *logits: float) -> Reading:
    return Reading(np.array(logits, np.float32), 5.0, 1.0, 1.0, topic_words)


def test_only_user_turns_count_newest_first() -> None:
    turns = [
        Turn("system", "You are a KiCad expert."),
        Turn("user", "one"),
        Turn("assistant", "answer"),
        Turn("user", " \n"),
        Turn("user", "two"),
    ]
    assert talk.plan_texts(turns) == ["two", "one"]


def test_turns_and_characters_are_bounded() -> None:
    turns = [Turn("user", f"{number} " + "x" * 100_000) for number in range(100)]
    texts = talk.plan_texts(turns)
    assert texts[0].startswith("99 ")
    assert sum(map(len, texts)) <= talk.MAX_CHARS + 200
    short = [Turn("user", str(number)) for number in range(100)]
    assert len(talk.plan_texts(short)) == talk.MAX_TURNS


def test_short_follow_up_inherits() -> None:
    combined = talk.combine([reading(1, 1.0, 0.0), reading(8, 0.0, 3.0)])
    assert combined.logits.argmax() == 1


def test_full_question_changes_the_subject() -> None:
    combined = talk.combine([reading(8, 3.0, 0.0), reading(8, 0.0, 3.0)])
    assert combined.logits.argmax() == 0


def test_shares_add_up_and_fall_with_age() -> None:
    shares = talk.weigh([reading(5, 0.0)] * 4)
    assert sum(shares) == pytest.approx(1.0)
    assert shares == sorted(shares, reverse=True)


OPEN_WEBUI_TITLE = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Guidelines:
- The title should clearly represent the main theme or subject of the talk.
- Write the title in the chat's primary language; default to English if multilingual.
### Output:
JSON format: { "title": "your concise title here" }
### Chat History:
<chat_history>
USER: my buck converter on STM32 board fails EN 55032
ASSISTANT: Add a common mode choke.
</chat_history>"""
OPEN_WEBUI_TAGS = OPEN_WEBUI_TITLE.replace(
    "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
    "Generate 1-3 broad tags categorizing the main themes of the chat history.",
)
OPEN_WEBUI_FOLLOW_UP = OPEN_WEBUI_TITLE.replace(
    "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
    "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next.",
)
OPEN_WEBUI_QUERIES = OPEN_WEBUI_TITLE.replace(
    "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
    "Analyze the chat history to determine the necessity of generating search queries.",
)


@pytest.mark.parametrize(
    "text",
    [
        OPEN_WEBUI_TITLE,
        OPEN_WEBUI_TAGS,
        OPEN_WEBUI_FOLLOW_UP,
        OPEN_WEBUI_QUERIES,
        "Generate a short title for this conversation: my LDO oscillates",
        "Génère un titre de 5 mots pour cette conversation",
        "Suggest three follow-up questions for the chat above.",
    ],
)
def test_housekeeping_is_recognised(text: str) -> None:
    assert is_housekeeping(text)


@pytest.mark.parametrize(
    "text",
    [
        "how do I set the title block of my KiCad sheet",
        "git tags versus branches in my firmware project",
        "write a python script that adds ID3 tags to mp3 files",
        "### Task: debug this\nmy STM32 hard faults when the queue is full",
        "summarize the differences between buck and boost",
        "titre d'une solution de NaOH, formule ?",
    ],
)
def test_questions_are_not_housekeeping(text: str) -> None:
    assert not is_housekeeping(text)
