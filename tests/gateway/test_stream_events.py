"""The rewriting of stream events, without I/O: fast path, fallback, any cut of the bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.names import Names
from gateway.metrics import Metrics, Observation
from gateway.provenance import Asked
from gateway.routing import Route
from gateway.stream_events import StreamEvents
from tests.gateway import bodies
from tests.gateway.harness import make_fleet
from wire.responses import Envelope, Usage
from wire.sse import DONE, SSEDecoder, dumps, encode_data

NAMES = Names(make_fleet())
KNOWN = frozenset(name for name, _ in NAMES.items())
REPORT = {"base": "apertus", "adapter": "power", "adapter_digest": "p", "base_digest": "a"}
PUBLIC = "ailiance-apertus-power"


def new_events(keep_usage=False):
    asked = Asked(Route("apertus", "power", "explicit"), "power")
    observation = Observation(Metrics(), "chat", 0.0, KNOWN)
    return StreamEvents(asked, NAMES, observation, keep_usage=keep_usage)


def chunks(texts):
    envelope = Envelope.new("chat", "power", "fp")
    yield bodies.first(envelope) | {"ailiance": REPORT}
    for text in texts:
        yield bodies.delta(envelope, text)
    yield bodies.last(envelope)
    yield envelope.usage(Usage(1, len(texts)))


def relay(raw: bytes, cuts=(), keep_usage=False):
    decoder, events, out = SSEDecoder(), new_events(keep_usage), b""
    at = 0
    for cut in [*sorted(cuts), len(raw)]:
        for data in decoder.feed(raw[at:cut]):
            if not events.ended:
                out += events.on_data(data)
        at = max(at, cut)
    return out + events.on_end(), events


@given(st.data())
def test_any_cut_of_the_bytes_gives_the_same_stream(data):
    texts = data.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
    raw = b"".join(encode_data(dumps(c)) for c in chunks(texts)) + encode_data(DONE)
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=5))
    out, events = relay(raw, cuts)
    assert out == relay(raw)[0]
    found = list(SSEDecoder().feed(out))
    assert found[-1] == DONE
    assert events.error_type == ""
    bodies = [json.loads(d) for d in found[:-1]]
    assert {b["model"] for b in bodies} == {PUBLIC}
    assert "".join(b["choices"][0]["delta"].get("content", "") for b in bodies) == "".join(texts)


def test_foreign_spacing_and_lines_take_the_slow_path():
    raw = b""
    for chunk in chunks(["a", "b", "c"]):
        raw += encode_data(json.dumps(chunk, indent=1))
    out, _ = relay(raw + encode_data(DONE), keep_usage=True)
    bodies = [json.loads(d) for d in list(SSEDecoder().feed(out))[:-1]]
    assert {b["model"] for b in bodies} == {PUBLIC}
    assert bodies[-1]["usage"]["completion_tokens"] == 3


def test_nothing_follows_the_terminal_event():
    raw = encode_data(dumps(next(chunks([])))) + encode_data(DONE) + encode_data('{"x":1}')
    out, _ = relay(raw)
    assert out.endswith(b"data: [DONE]\n\n")
    assert out.count(b"data: ") == 2


def test_done_without_a_chunk_is_an_error():
    out, events = relay(encode_data(DONE))
    assert b'"upstream_failed"' in out
    assert events.error_type == "upstream_failed"


def test_garbage_is_an_error():
    for garbage in ("{", "[1]", "3"):
        out, _ = relay(encode_data(garbage))
        assert b'"upstream_failed"' in out


def test_old_vllm_error_chunk_is_recognised():
    error = {"object": "error", "message": "boom", "type": "BadRequest", "code": 400}
    out, events = relay(encode_data(dumps(next(chunks([])))) + encode_data(dumps(error)))
    last = json.loads(list(SSEDecoder().feed(out))[-1])
    assert last == {"error": {"message": "boom", "type": "BadRequest", "param": None, "code": 400}}
    assert events.error_type == "upstream_error"


@pytest.mark.parametrize(
    "chunk",
    [{"choices": ["x"]}, {"choices": {"a": 1}}, {"choices": [{"delta": 3}]}],
)
def test_a_chunk_that_is_none_is_the_upstreams_fault(chunk):
    """It was ours: the connection broke off after an error that named the gateway."""
    events = new_events()
    assert b"no chunk" in events.on_data(dumps(chunk))
    assert (events.ended, events.error_type) == (True, "upstream_failed")


def test_counts_that_are_no_numbers_are_not_counted():
    metrics = Metrics()
    observation = Observation(metrics, "chat", 0.0, KNOWN)
    observation.base = "apertus"
    observation.on_first_token()
    observation.on_usage({"prompt_tokens": "1", "completion_tokens": 2.5})
    observation.end()
    assert metrics.tokens.collect()[0].samples == []
