"""Stop strings: what is streamed is what is answered is the text cut at the first stop.

Random texts: a seed and a high temperature make the embedded base write any bytes, parts of
characters among them; the stop strings are cut from what it wrote, across tokens.
"""

import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TOKENS = 40


@pytest.fixture(scope="module")
def client(gateway):
    with httpx.Client(base_url=gateway.url, timeout=120) as client:
        yield client


def ask(client, body):
    answer = client.post("/v1/completions", json=body).raise_for_status().json()
    choice = answer["choices"][0]
    return choice["text"], choice["finish_reason"], choice["stop_reason"]


def ask_streamed(client, body):
    text, ends = "", []
    with client.stream("POST", "/v1/completions", json=body | {"stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                choice = json.loads(line.removeprefix("data: "))["choices"][0]
                text += choice["text"]
                ends.append((choice["finish_reason"], choice.get("stop_reason")))
    assert [end for end in ends[:-1] if end != (None, None)] == []
    return (text, *ends[-1])


def cut(text, stops):
    """The reference: the text before the earliest stop, and that stop (the first of a tie)."""
    found = [(text.find(stop), index) for index, stop in enumerate(stops) if stop in text]
    if not found:
        return text, None
    at, index = min(found)
    return text[:at], stops[index]


@given(data=st.data(), seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_streamed_is_plain_is_the_text_cut_at_the_first_stop(client, data, seed):
    body = {
        "model": "ailiance-apertus",
        "prompt": "Ohm's law says",
        "max_tokens": TOKENS,
        "temperature": 2,
        "seed": seed,
        "ignore_eos": True,
    }
    whole, reason, stopped_by = ask(client, body)
    assert (reason, stopped_by) == ("length", None)
    starts = st.integers(0, max(0, len(whole) - 1))
    pieces = st.builds(lambda at, n: whole[at : at + n], starts, st.integers(1, 6))
    others = st.text(min_size=1, max_size=4).filter(lambda text: "\ud800" not in text)
    stops = data.draw(st.lists((pieces | others).filter(bool), min_size=1, max_size=4))
    expected, stop = cut(whole, stops)
    plain = ask(client, body | {"stop": stops})
    assert plain == (expected, "stop" if stop else "length", stop)
    assert ask_streamed(client, body | {"stop": stops}) == plain
