"""Bodies and chunks as OpenAI shapes them, checked against openai-python's own models."""

import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from wire.responses import (
    Ending,
    Envelope,
    Usage,
    chat_choice,
    chat_delta,
    chat_last,
    chat_message,
    model_entry,
    model_list,
    text_choice,
)

USAGE = Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=5)


@pytest.fixture
def chat():
    return Envelope.new("chat", "ailiance-apertus", "fp_1_base")


@pytest.fixture
def text():
    return Envelope.new("text", "ailiance-apertus", None)


def test_usage_adds_up_and_states_cached_tokens():
    assert USAGE.body() == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 5},
    }


def test_a_plain_chat_answer(chat):
    choice = chat_choice(0, chat_message("hello", None, []), Ending("stop"), None)
    answer = ChatCompletion.model_validate(chat.body([choice], USAGE))
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "ailiance-apertus"
    assert answer.system_fingerprint == "fp_1_base"
    assert answer.choices[0].message.content == "hello"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is None
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 5


def test_an_answer_of_calls_has_no_content(chat):
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = chat_message(None, None, [call])
    body = chat.body([chat_choice(0, message, Ending("tool_calls"), None)], USAGE)
    answer = ChatCompletion.model_validate(body).choices[0]
    assert answer.message.content is None
    assert answer.message.tool_calls[0].function.name == "f"
    assert answer.finish_reason == "tool_calls"


def test_what_was_thought_has_both_names_and_only_where_something_was():
    assert chat_message("a", "because", [])["reasoning_content"] == "because"
    assert chat_message("a", "because", [])["reasoning"] == "because"
    assert "reasoning" not in chat_message("a", None, [])


def test_an_ending_says_what_stopped_it_and_whether_it_was_closed():
    assert Ending("stop", "###").fields() == {"finish_reason": "stop", "stop_reason": "###"}
    assert Ending("stop", closed=True).fields()["closed_at_limit"] is True
    assert "closed_at_limit" not in Ending("stop").fields()


def test_the_tier_is_told_to_who_asked():
    told = Envelope.new("chat", "m", None, "default")
    assert told.body([], USAGE)["service_tier"] == "default"
    assert "service_tier" not in Envelope.new("chat", "m", None).body([], USAGE)


def test_a_plain_text_answer(text):
    body = text.body([text_choice(0, "hello", Ending("length"), None)], USAGE)
    answer = Completion.model_validate(body)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.choices[0].text == "hello"
    assert answer.choices[0].finish_reason == "length"


def pieces(chat):
    return [
        chat.chunk(chat_delta(0, {"role": "assistant", "content": ""})),
        chat.chunk(chat_delta(0, {"content": "a"})),
        chat.chunk(chat_last(0, Ending("stop"), None)),
        chat.usage(USAGE),
    ]


def test_chunks_of_a_chat_are_openais(chat):
    for chunk in pieces(chat):
        ChatCompletionChunk.model_validate(chunk)
        assert chunk["object"] == "chat.completion.chunk"
    ends = [c["choices"][0]["finish_reason"] for c in pieces(chat)[:3]]
    assert ends == [None, None, "stop"]


def test_the_usage_chunk_has_no_choice(chat):
    chunk = chat.usage(USAGE)
    assert chunk["choices"] == []
    assert chunk["usage"] == USAGE.body()


def test_a_piece_of_text_has_no_delta(text):
    chunk = text.chunk(text_choice(1, "a", None, None))
    assert chunk["choices"] == [{"index": 1, "text": "a", "logprobs": None, "finish_reason": None}]
    assert chunk["object"] == "text_completion"


def test_one_id_and_time_for_the_whole_stream_and_another_for_the_next(chat):
    assert len({(c["id"], c["created"], c["model"]) for c in pieces(chat)}) == 1
    assert Envelope.new("chat", "m", None).id != chat.id


def test_a_models_list_has_openais_fields_and_vllms():
    entry = model_entry(
        "ailiance-a", created=1, owned_by="ailiance", root="r", parent=None, max_model_len=2048
    )
    assert Model.model_validate(entry).id == "ailiance-a"
    assert set(entry) == {
        *("id", "object", "created", "owned_by"),
        *("name", "root", "parent", "max_model_len"),
    }
    assert model_list([entry]) == {"object": "list", "data": [entry]}
