"""Stop strings and characters at every possible seam."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.request import Text
from worker.engine.text import StopFilter, TextStream

# few letters, so that stops overlap each other and the text
LETTERS = st.text(alphabet="abé\n", min_size=1, max_size=4)


def reference(text: str, stops: list[str]) -> str:
    found = [text.find(stop) for stop in stops if stop in text]
    return text[: min(found)] if found else text


def feed_all(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    stop_filter = StopFilter(stops)
    out = "".join(stop_filter.feed(piece) for piece in pieces)
    return out + stop_filter.flush(), stop_filter.stopped


@given(st.lists(LETTERS, max_size=20), st.lists(LETTERS, max_size=4))
def test_any_chunking_gives_the_reference_truncation(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    out, stopped = feed_all(pieces, stops)
    assert out == reference(text, stops)
    assert stopped == any(stop in text for stop in stops)


@pytest.mark.parametrize("pieces", [["xabcd"], ["xab", "cd"], ["x", "a", "b", "c", "d"]])
def test_an_earlier_stop_string_wins_also_where_a_later_one_is_whole_first(
    pieces: list[str],
) -> None:
    assert feed_all(pieces, ["b", "abc"]) == ("x", True)


@pytest.mark.parametrize(
    ("text", "stops", "matched"),
    [
        ("xabc", ["c", "b"], "b"),
        ("xabc", ["ab", "abc"], "ab"),
        ("xabc", ["abc", "ab"], "abc"),
        ("xab", ["abc", "b"], "b"),
        ("xyz", ["abc"], None),
    ],
)
def test_the_stop_string_that_matched_is_told(
    text: str, stops: list[str], matched: str | None
) -> None:
    stop_filter = StopFilter(stops)
    stop_filter.feed(text)
    stop_filter.flush()
    assert stop_filter.matched == matched


@given(st.lists(LETTERS, max_size=20), st.lists(LETTERS, min_size=1, max_size=4))
def test_nothing_sent_is_ever_part_of_a_stop_string(pieces: list[str], stops: list[str]) -> None:
    stop_filter = StopFilter(stops)
    sent = ""
    for piece in pieces:
        sent += stop_filter.feed(piece)
        assert not any(stop in sent for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "stops", "sent"),
    [
        (["STO", "P"], ["STOP"], ["", ""]),
        (["STO", "RE"], ["STOP"], ["", "STORE"]),
        (["a</", "s>b"], ["</s>"], ["a", ""]),
        (["xaab", "c"], ["aabd", "abc"], ["x", "a"]),
    ],
)
def test_what_might_become_a_stop_string_is_held_back(
    pieces: list[str], stops: list[str], sent: list[str]
) -> None:
    stop_filter = StopFilter(stops)
    assert [stop_filter.feed(piece) for piece in pieces] == sent


class Bytes:
    """A detokeniser whose tokens are single bytes: the worst case for characters."""

    def __init__(self) -> None:
        self._raw = b""
        self._sent = 0

    def add_token(self, token: int) -> None:
        self._raw += bytes([token])

    def finalize(self) -> None:
        """Nothing is held back but what ``last_segment`` holds."""

    @property
    def last_segment(self) -> str:
        try:
            text = self._raw.decode()
        except UnicodeDecodeError:
            return ""
        segment, self._sent = text[self._sent :], len(text)
        return segment


def said(*events: Text | None) -> str:
    return "".join(event.text for event in events if event is not None)


@given(st.text(max_size=30))
def test_streamed_characters_add_up_to_the_text(text: str) -> None:
    stream = TextStream(Bytes(), frozenset(), [])
    parts = said(*(stream.add(byte) for byte in text.encode()))
    assert parts + said(stream.end()) == text
    assert "�" not in parts.replace("�" if "�" in text else "", "")


def test_special_tokens_make_no_text() -> None:
    stream = TextStream(Bytes(), frozenset([66]), [])
    assert [stream.add(token) for token in b"ABC"] == [Text("A"), None, Text("C")]


def test_visible_special_tokens_make_text() -> None:
    stream = TextStream(Bytes(), frozenset([66, 67]), [], visible=frozenset([66]))
    assert said(*(stream.add(token) for token in b"ABC")) == "AB"


def test_the_last_token_and_what_was_held_back_end_the_text_together() -> None:
    stream = TextStream(Bytes(), frozenset(), ["STOP"])
    assert said(*(stream.add(token) for token in b"aST")) == "a"
    assert stream.end(ord("O")) == Text("STO")
