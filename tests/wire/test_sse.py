"""SSE framing: however the transport cuts the bytes, the same events come out."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wire.sse import DONE, SSEDecoder, dumps, encode_data

# any text that JSON could hold; a bare CR ends a line in SSE, and dumps() never writes one
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
EVENTS = st.lists(TEXT)
COMMENT = b": ping\n\n"


def decode(*chunks: bytes) -> list[str]:
    decoder = SSEDecoder()
    return [data for chunk in chunks for data in decoder.feed(chunk)]


@st.composite
def chunked(draw, events):
    """The bytes of some events, cut anywhere, with comments and CRLF thrown in."""
    sent = draw(events)
    newline = draw(st.sampled_from([b"\n", b"\r\n"]))
    parts = []
    for data in sent:
        if draw(st.booleans()):
            parts.append(COMMENT)
        parts.append(encode_data(data))
    raw = b"".join(parts).replace(b"\n", newline)
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    return sent, [raw[a:b] for a, b in pairwise([0, *cuts, len(raw)])]


@given(chunked(EVENTS))
def test_any_chunking_of_any_events_decodes_to_the_same_data(case):
    sent, chunks = case
    assert decode(*chunks) == sent


@given(st.lists(TEXT, min_size=1))
def test_one_byte_at_a_time(events):
    raw = b"".join(encode_data(data) for data in events)
    assert decode(*(raw[i : i + 1] for i in range(len(raw)))) == events


@given(st.recursive(st.none() | st.booleans() | TEXT, st.lists, max_leaves=5))
def test_a_payload_of_dumps_is_one_line_and_comes_back(payload):
    text = dumps(payload)
    assert "\n" not in text
    assert "\r" not in text
    (data,) = decode(encode_data(text))
    assert json.loads(data) == payload


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_break_the_decoder_and_cuts_do_not_matter(raw, cut):
    assert decode(raw) == decode(raw[:cut], raw[cut:])


def test_the_frame_on_the_wire():
    assert encode_data("{}") == b"data: {}\n\n"
    assert encode_data(DONE) == b"data: [DONE]\n\n"
    assert encode_data("a\nb") == b"data: a\ndata: b\n\n"


def test_comments_and_other_fields_give_no_event():
    raw = b": ping\n\nevent: x\nid: 1\nretry: 5\n\n: ping\ndata: a\n: in between\n\n"
    assert decode(raw) == ["a"]


def test_one_space_after_the_colon_is_optional_and_only_one_is_taken():
    assert decode(b"data:a\n\ndata: b\n\ndata:  c\n\n") == ["a", "b", " c"]


def test_lines_of_one_event_are_joined():
    assert decode(b"data: a\r\ndata: b\r\n\r\n") == ["a\nb"]


def test_an_unfinished_event_is_not_given_out():
    assert decode(b"data: a\n\ndata: b\n") == ["a"]
    assert decode(b"data: a\n\ndata: [DONE]") == ["a"]


def test_a_character_cut_in_the_middle_is_whole_again():
    raw = encode_data("é€😀")
    at = raw.index("😀".encode()) + 2
    assert decode(raw[:at], raw[at:]) == ["é€😀"]


def test_bytes_that_are_no_utf8_are_replaced_not_raised():
    assert decode(b"data: \xff\n\n") == ["�"]


def test_dumps_is_compact_and_keeps_characters():
    assert dumps({"a": [1, "é"]}) == '{"a":[1,"é"]}'
