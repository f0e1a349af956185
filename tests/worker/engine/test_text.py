"""Stop strings and characters at every possible seam."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.text(max_size=30))
def test_streamed_characters_add_up_to_the_text(text: str) -> None:
    stream = TextStream(Bytes(), frozenset(), [])
    parts = [stream.add(byte) for byte in text.encode()]
    assert "".join(parts) + stream.end() == text
    assert "�" not in "".join(parts).replace("�" if "�" in text else "", "")


def test_special_tokens_make_no_text() -> None:
    stream = TextStream(Bytes(), frozenset([66]), [])
    assert [stream.add(token) for token in b"ABC"] == ["A", "", "C"]
