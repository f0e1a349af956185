"""A chat's stream as events of a response: golden sequences, faults, and openai's own reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.responses.form import response_of
from tests.gateway.responses.chunks import (
    NOW,
    PUBLIC,
    REPORT,
    USAGE,
    Told,
    call,
    chunk,
    new_draft,
    stream_of,
)
from wire.errors import WorkerUnavailable
from wire.sse import DONE, dumps

EVENT = TypeAdapter(ResponseStreamEvent)
BEGIN = ["created", "in_progress"]
TEXT = ["output_item.added", "content_part.added"]
TEXT_END = ["output_text.done", "content_part.done", "output_item.done"]
ENDS = {"completed", "incomplete", "failed"}


def check_with_openai(told):
    """Every event is one of openai's types, and its client arrives at the same response."""
    state = ResponseStreamState(input_tools=[], text_format=omit)
    for event in told.all:
        parsed = EVENT.validate_python(event)
        assert type(parsed).model_fields["type"].annotation.__args__ == (event["type"],)
        state.handle_event(parsed)
    assert [t for t in told.types if t in ENDS] == told.types[-1:]
    assert told.kept == [told.last]
    assert told.events.ended
    Response.model_validate(told.last)


def test_text():
    told = Told(stream_of({"content": "Hel"}, {"content": "lo"}))
    assert told.types == [*BEGIN, *TEXT, *["output_text.delta"] * 2, *TEXT_END, "completed"]
    check_with_openai(told)
    response = told.last
    message = response["output"][0]
    assert message["content"][0]["text"] == "Hello"
    assert (message["role"], message["status"]) == ("assistant", "completed")
    assert (response["status"], response["completed_at"]) == ("completed", NOW)
    assert response["model"] == PUBLIC
    assert response["ailiance"]["adapter_digest"] == REPORT["adapter_digest"]
    assert response["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 8,
    }
    assert [e["delta"] for e in told.all if e["type"].endswith("delta")] == ["Hel", "lo"]
    assert told.all[0]["response"]["status"] == "in_progress"
    assert told.all[0]["response"]["output"] == []
    # as the item was then, not as it became
    assert told.all[2]["item"]["content"] == []
    assert told.all[3]["part"]["text"] == ""


def test_thoughts_text_and_calls_are_items_in_their_order():
    told = Told(
        stream_of(
            {"reasoning_content": "hm"},
            {"reasoning": "!"},
            {"content": "Let me see."},
            {"tool_calls": [call(0, name="f", id="c0")]},
            {"tool_calls": [call(0, '{"a"')]},
            {"tool_calls": [call(0, ":1}"), call(1, "{}", name="g", id="c1")]},
            finish="tool_calls",
        )
    )
    thought = ["reasoning_text.delta"] * 2 + ["reasoning_text.done"]
    arguments, done = "function_call_arguments.delta", "function_call_arguments.done"
    assert told.types == [
        *(*BEGIN, *TEXT, *thought, "content_part.done", "output_item.done"),
        *(*TEXT, "output_text.delta", *TEXT_END),
        *("output_item.added", arguments, arguments, done, "output_item.done"),
        *("output_item.added", arguments, done, "output_item.done"),
        "completed",
    ]
    check_with_openai(told)
    reasoning, message, first, second = told.last["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm!"}]
    assert message["content"][0]["text"] == "Let me see."
    assert (first["call_id"], first["name"], first["arguments"]) == ("c0", "f", '{"a":1}')
    assert (second["call_id"], second["arguments"]) == ("c1", "{}")
    assert len({item["id"] for item in told.last["output"]}) == 4
    indexes = [e["output_index"] for e in told.all if "output_index" in e]
    assert indexes == sorted(indexes)


def test_refusal_is_a_part_of_its_own():
    told = Told(stream_of({"content": "I"}, {"refusal": "can"}, {"refusal": "not"}))
    check_with_openai(told)
    parts = told.last["output"][0]["content"]
    assert [p.get("refusal") for p in parts] == [None, "cannot"]
    assert "refusal.done" in told.types


def test_logprobs_follow_their_text():
    def entry(token):
        others = [{"token": "x", "logprob": -2.0, "bytes": None}]
        return {"token": token, "logprob": -0.5, "bytes": [1], "top_logprobs": others}

    def told_with(*tokens):
        return {"logprobs": {"content": [entry(t) for t in tokens]}}

    told = Told(
        stream_of(
            chunk({}, **told_with("a")),  # held back: might be a stop string
            chunk({"content": "ab"}, **told_with("b")),
            chunk({"content": "c"}, **told_with("c")),
        )
    )
    check_with_openai(told)
    deltas = [e for e in told.all if e["type"] == "response.output_text.delta"]
    assert [[p["token"] for p in d["logprobs"]] for d in deltas] == [["a", "b"], ["c"]]
    part = told.last["output"][0]["content"][0]
    assert [p["token"] for p in part["logprobs"]] == ["a", "b", "c"]
    assert part["logprobs"][0]["top_logprobs"] == [{"token": "x", "logprob": -2.0, "bytes": [120]}]
    done = next(e for e in told.all if e["type"] == "response.output_text.done")
    assert len(done["logprobs"]) == 3


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_incomplete(finish, reason):
    told = Told(stream_of({"content": "Hel"}, finish=finish))
    check_with_openai(told)
    assert told.types[-1] == "incomplete"
    assert told.last["incomplete_details"] == {"reason": reason}
    assert told.last["output"][0]["status"] == "incomplete"
    assert told.last["completed_at"] is None


def test_nothing_said_is_an_empty_message():
    told = Told(stream_of())
    check_with_openai(told)
    assert told.types == [*BEGIN, *TEXT, *TEXT_END, "completed"]


def test_calls_without_index_and_id():
    one = {"function": {"name": "f", "arguments": "{"}}
    more = {"function": {"arguments": "}"}}
    told = Told(stream_of({"tool_calls": [one]}, {"tool_calls": [more]}, {"tool_calls": [one]}))
    check_with_openai(told)
    first, second = told.last["output"]
    assert (first["arguments"], second["arguments"]) == ("{}", "{")
    assert first["call_id"].startswith("call_")
    assert first["call_id"] != second["call_id"]


def test_parallel_calls_that_all_have_the_index_0():
    """Some servers send whole calls, each with index 0; their arguments were run together."""
    calls = [call(0, '{"a":1}', name="f", id="x"), call(0, '{"b":2}', name="g", id="y")]
    told = Told(
        stream_of({"tool_calls": calls[:1]}, {"tool_calls": calls[1:]}, finish="tool_calls")
    )
    check_with_openai(told)
    found = [(i["call_id"], i["name"], i["arguments"]) for i in told.last["output"]]
    assert found == [("x", "f", '{"a":1}'), ("y", "g", '{"b":2}')]


def test_a_call_whose_name_and_id_come_again_is_one_call():
    again = {"tool_calls": [call(0, "}", name="f", id="x")]}
    told = Told(stream_of({"tool_calls": [call(0, "{", name="f", id="x")]}, again))
    (item,) = told.last["output"]
    assert item["arguments"] == "{}"


@pytest.mark.parametrize("given", [None, "", {}])
def test_no_arguments_are_an_empty_object(given):
    told = Told(stream_of({"tool_calls": [call(0, given, name="f", id="x")]}))
    check_with_openai(told)
    assert told.last["output"][0]["arguments"] == "{}"
    assert "".join(e["delta"] for e in told.all if e["type"].endswith("arguments.delta")) == "{}"


def test_arguments_that_a_server_parsed():
    told = Told(stream_of({"tool_calls": [call(0, {"a": "é"}, name="f", id="x")]}))
    assert told.last["output"][0]["arguments"] == '{"a":"é"}'


def test_text_in_parts():
    told = Told(stream_of({"content": [{"type": "text", "text": "a"}, {"type": "x"}, 3]}))
    assert told.last["output"][0]["content"][0]["text"] == "a"


def test_log_probabilities_that_are_none():
    told = Told(stream_of(chunk({"content": "a"}, logprobs={"content": [None]})))
    check_with_openai(told)
    assert told.last["output"][0]["content"][0]["logprobs"] == []


def test_other_choices_are_left_out():
    told = Told(stream_of({"content": "a"}, chunk({"content": "b"}, index=1)))
    assert told.last["output"][0]["content"][0]["text"] == "a"


INTERLEAVED = [
    {"tool_calls": [call(0, "{", name="f", id="a")]},
    {"tool_calls": [call(1, "{", name="g", id="b")]},
    {"tool_calls": [call(0, "}")]},
]
ERROR = {
    "error": {"message": "boom", "type": "server_error", "code": "engine_failed", "param": None}
}


@pytest.mark.parametrize(
    ("lines", "label"),
    [
        (stream_of({"content": "a"}, ERROR), "engine_failed"),
        ([dumps(ERROR)], "engine_failed"),
        ([DONE], "upstream_failed"),
        (stream_of({"content": "a"}, finish=None), "upstream_failed"),
        (stream_of({"content": "a"})[:3], "upstream_failed"),
        ([], "upstream_failed"),
        (["{"], "upstream_failed"),
        (stream_of(*INTERLEAVED), "upstream_failed"),
        (stream_of({"tool_calls": [call(0, "{")]}), "upstream_failed"),
        (stream_of({"tool_calls": [3]}), "upstream_failed"),
        (
            [*stream_of({"content": "a"})[:2], '{"model":"power","choices":["x"]}'],
            "upstream_failed",
        ),
        ([*stream_of({"content": "a"})[:2], '{"model":"power","choices":'], "upstream_failed"),
        (stream_of({"choices": [{"delta": 3}]}), "upstream_failed"),
    ],
)
def test_a_fault_ends_in_one_failed_response(lines, label):
    told = Told(lines, end=True)
    check_with_openai(told)
    assert told.types[:2] == BEGIN
    assert told.types[-1] == "failed"
    assert told.last["error"]["code"] == "server_error"
    assert told.last["error"]["message"]
    assert {item["status"] for item in told.last["output"]} <= {"completed", "incomplete"}
    assert told.events.error_type == label
    assert told.events.on_data(DONE) == told.events.on_end() == b""


def test_shutdown_ends_in_a_failed_response():
    told = Told(stream_of({"content": "a"})[:2])
    assert b"response.failed" in told.events.on_error(WorkerUnavailable("the gateway stops"))
    assert told.events.ended
    assert told.events.error_type == "worker_unavailable"


def test_upstreams_refusal_names_our_field():
    refusal = {"message": "too long", "type": "invalid_request_error", "param": "messages[0].x"}
    told = Told(stream_of({"error": refusal}))
    assert (told.last["error"]["code"], told.last["error"]["param"]) == ("invalid_prompt", "input")


PIECES = st.lists(
    st.tuples(
        st.sampled_from(["reasoning_content", "content", "refusal"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    ),
    max_size=12,
)


@given(PIECES)
def test_nothing_of_an_answer_is_lost(pieces):
    told = Told(stream_of(*({kind: text} for kind, text in pieces)))
    check_with_openai(told)
    found = [
        (part["type"], part.get("text", part.get("refusal")))
        for item in told.last["output"]
        for part in item["content"]
    ]
    kinds = {"reasoning_text": "reasoning_content", "output_text": "content", "refusal": "refusal"}
    merged = []
    for kind, text in pieces:
        if merged and merged[-1][0] == kind:
            merged[-1] = (kind, merged[-1][1] + text)
        elif text:
            merged.append((kind, text))
    assert [(kinds[k], t) for k, t in found] == (merged or [("content", "")])


def test_a_plain_answer_is_the_same_response():
    calls = [call(0, "{}", name="f", id="c0"), call(1, "{}", name="f", id="c1")]
    message = {"role": "assistant", "reasoning_content": "hm", "content": "a", "refusal": None}
    answer = {
        "model": PUBLIC,
        "ailiance": Told(stream_of({"content": "a"})).last["ailiance"],
        "usage": USAGE,
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "logprobs": None,
                "message": message
                | {"tool_calls": [{k: v for k, v in c.items() if k != "index"} for c in calls]},
            }
        ],
    }
    told = Told(
        stream_of(
            {"reasoning_content": "hm"},
            {"content": "a"},
            {"tool_calls": calls},
            finish="tool_calls",
        )
    )
    assert response_of(new_draft(), answer, NOW) == told.last
