"""Text and the reports of its tokens agree, however characters and stop strings fall."""

import itertools
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.request import Text, TokenLogprob
from worker.engine.text import TextStream

# few letters, of one to four bytes, so that stops overlap the text
LETTERS = "ab é€𝄞"


class Pieces:
    """A detokeniser of given tokens, each some bytes, that shows characters once whole.

    Lazily, it shows nothing while the last character is not, or is a space: as mlx-lm's do.
    """

    def __init__(self, tokens: list[bytes], *, lazy: bool = False) -> None:
        self._tokens = tokens
        self._lazy = lazy
        self._raw = b""
        self._segment = ""

    def add_token(self, token: int) -> None:
        self._raw += self._tokens[token]
        whole = self._raw.decode("utf-8", "ignore")
        if self._lazy and (whole.encode() != self._raw or whole.endswith(" ")):
            return
        self._segment += whole
        self._raw = self._raw[len(whole.encode()) :]

    def finalize(self) -> None:
        self._segment += self._raw.decode("utf-8", "replace")
        self._raw = b""

    @property
    def last_segment(self) -> str:
        segment, self._segment = self._segment, ""
        return segment


@dataclass(frozen=True)
class Answer:
    """An answer's bytes in tokens; the last character may be broken off."""

    tokens: list[bytes]

    @property
    def text(self) -> str:
        return b"".join(self.tokens).decode("utf-8", "replace")

    def begins(self) -> list[int]:
        """The character at which each token begins, or that it is a part of."""
        before = itertools.accumulate(self.tokens, initial=b"")
        return [len(raw.decode("utf-8", "ignore")) for raw in before][:-1]


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    raw = draw(st.text(LETTERS, max_size=16)).encode()
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=len(raw))))
    edges = [0, *cuts, len(raw)]
    tokens = [raw[a:b] for a, b in itertools.pairwise(edges) if b > a]
    return Answer(tokens[: draw(st.integers(0, len(tokens)))])


def stream(
    answer: Answer, stops: list[str], *, ends_with_token: bool, lazy: bool = False
) -> list[Text]:
    """The events of an answer, up to its stop string or its last token."""
    text = TextStream(Pieces(answer.tokens, lazy=lazy), frozenset(), stops)
    events: list[Text | None] = []
    last = len(answer.tokens) - 1 if ends_with_token else len(answer.tokens)
    for token in range(last):
        events.append(text.add(token, TokenLogprob(token, -1.0)))
        if text.matched is not None:
            break
    else:
        ending = last if 0 <= last < len(answer.tokens) else None
        report = None if ending is None else TokenLogprob(ending, -1.0)
        events.append(text.end(ending, report))
    return [event for event in events if event is not None]


def truncated(text: str, stops: list[str]) -> str:
    found = [text.find(stop) for stop in stops if stop in text]
    return text[: min(found)] if found else text


STOPS = st.lists(st.text(LETTERS, min_size=1, max_size=3), max_size=3)


@given(answers(), STOPS, st.booleans(), st.booleans())
def test_the_tokens_reported_are_those_whose_text_is_sent(
    answer: Answer, stops: list[str], ends_with_token: bool, lazy: bool
) -> None:
    events = stream(answer, stops, ends_with_token=ends_with_token, lazy=lazy)
    final = truncated(answer.text, stops)
    assert "".join(event.text for event in events) == final
    reported = [report.token for event in events for report in event.tokens]
    assert reported == [i for i, at in enumerate(answer.begins()) if at < len(final)]


@given(answers(), STOPS, st.booleans(), st.booleans())
def test_each_goes_out_with_the_text_that_it_begins_in(
    answer: Answer, stops: list[str], ends_with_token: bool, lazy: bool
) -> None:
    begins = answer.begins()
    sent = 0
    for event in stream(answer, stops, ends_with_token=ends_with_token, lazy=lazy):
        assert event.text
        for report in event.tokens:
            assert sent <= begins[report.token] < sent + len(event.text)
        sent += len(event.text)


def test_parts_of_a_character_go_out_with_it() -> None:
    euro = "€".encode()
    answer = Answer([b"a", euro[:1], euro[1:2], euro[2:], b"b"])
    events = stream(answer, [], ends_with_token=False)
    assert [(e.text, [r.token for r in e.tokens]) for e in events] == [
        ("a", [0]),
        ("€", [1, 2, 3]),
        ("b", [4]),
    ]


def test_a_space_that_is_held_back_is_not_the_next_token() -> None:
    events = stream(Answer([b"a", b" ", b"1"]), ["1"], ends_with_token=False, lazy=True)
    assert [(e.text, [r.token for r in e.tokens]) for e in events] == [("a", [0]), (" ", [1])]


def test_tokens_without_text_at_the_very_end_go_with_the_last_of_it() -> None:
    events = stream(Answer([b"a", b"S", b""]), ["STOP"], ends_with_token=True)
    assert events[-1] == Text("S", (TokenLogprob(1, -1.0), TokenLogprob(2, -1.0)))


def test_rows_that_ask_for_no_reports_have_none() -> None:
    text = TextStream(Pieces([b"a"]), frozenset(), [])
    assert text.add(0) == Text("a")


@given(answers(), st.data(), STOPS)
def test_of_a_text_that_is_continued_nothing_is_said_again(
    whole: Answer, data: st.DataObject, stops: list[str]
) -> None:
    cut = data.draw(st.integers(0, len(whole.tokens)))
    text = TextStream(Pieces(whole.tokens, lazy=True), frozenset(), stops, before=range(cut))
    events: list[Text | None] = []
    for token in range(cut, len(whole.tokens)):
        events.append(text.add(token, TokenLogprob(token, -1.0)))
    events.append(text.end())
    # a character that began before is the answer's, with what begins it
    said_before = b"".join(whole.tokens[:cut]).decode("utf-8", "ignore")
    final = truncated(whole.text[len(said_before) :], stops)
    assert "".join(event.text for event in events if event) == final
    begins = [max(0, at - len(said_before)) for at in whole.begins()[cut:]]
    reported = [report.token for event in events if event for report in event.tokens]
    assert reported == [cut + i for i, at in enumerate(begins) if at < len(final)]


def test_a_space_at_the_end_of_a_prompt_is_not_said_again() -> None:
    pieces = Pieces([b"a", b" ", b" b"], lazy=True)
    text = TextStream(pieces, frozenset(), [], before=[0, 1])
    assert text.add(2, TokenLogprob(2, -1.0)) == Text(" b", (TokenLogprob(2, -1.0),))
