"""Chat chunks as any OpenAI server writes them, and the reading of a response's events."""

import json

from gateway.metrics import Metrics, Observation
from gateway.provenance import Asked
from gateway.responses.draft import Draft
from gateway.responses.events import ResponseEvents
from gateway.routing import Route
from gateway.stream_events import StreamEvents
from tests.gateway.test_stream_events import KNOWN, NAMES
from wire.responses_api import parse_responses
from wire.sse import DONE, dumps

REPORT = {"base": "apertus", "adapter": "power", "adapter_digest": "p", "base_digest": "a"}
PUBLIC = "ailiance-apertus-power"
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
NOW = 1_700_000_001


def chunk(delta=None, finish=None, **more):
    choices = [{"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish} | more]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "power",
        "choices": choices,
    }


def stream_of(*deltas, finish="stop", usage=USAGE):
    """A whole stream of data lines."""
    told = [chunk({"role": "assistant", "content": ""}) | {"ailiance": REPORT}]
    told += [d if "choices" in d or "error" in d else chunk(d) for d in deltas]
    if finish:
        told.append(chunk({}, finish))
    if usage:
        told.append(chunk() | {"choices": [], "usage": usage})
    return [dumps(c) for c in told] + [DONE]


def call(index, arguments="", **first):
    function = {"arguments": arguments} | {k: v for k, v in first.items() if k == "name"}
    head = {"id": first["id"], "type": "function"} if "id" in first else {}
    return {"index": index, "function": function} | head


def new_draft(**fields):
    body = {"model": "amp", "input": "hi"} | fields
    request = parse_responses(json.dumps(body).encode())
    return Draft(request, NOW - 1, is_stored=True, id="resp_" + "0" * 48)


class Told:
    """What a client is told of a stream, and what is kept."""

    def __init__(self, lines, draft=None, end=False):
        self.kept = []
        asked = Asked(Route("apertus", "power", "explicit"), "power")
        chunks = StreamEvents(
            asked, NAMES, Observation(Metrics(), "chat", 0.0, KNOWN), keep_usage=True
        )
        self.events = ResponseEvents(
            chunks, draft or new_draft(), now=lambda: NOW, on_finished=self.kept.append
        )
        self.raw = b"".join(self.events.on_data(line) for line in lines)
        if end:
            self.raw += self.events.on_end()
        self.all = read(self.raw)
        self.types = [event["type"].removeprefix("response.") for event in self.all]

    @property
    def last(self):
        return self.all[-1]["response"]


def read(raw):
    """Each event of a stream, its frame and its number checked."""
    found = []
    for frame in raw.decode().removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == len(found)
        found.append(event)
    return found
