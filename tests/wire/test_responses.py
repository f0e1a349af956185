"""Bodies and chunks as OpenAI shapes them, checked against openai-python's own models."""

import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from wire.responses import Envelope, Usage, model_entry, model_list

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
    body = chat.plain("hello", "stop", USAGE)
    answer = ChatCompletion.model_validate(body)
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


def test_a_plain_text_answer(text):
    answer = Completion.model_validate(text.plain("hello", "length", USAGE))
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.choices[0].text == "hello"
    assert answer.choices[0].finish_reason == "length"


def test_a_chat_stream_opens_with_the_role_and_ends_with_an_empty_delta(chat):
    chunks = [chat.first(), chat.delta("a"), chat.last("stop"), chat.usage(USAGE)]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
        assert chunk["object"] == "chat.completion.chunk"
    assert [c["choices"][0]["delta"] for c in chunks[:3]] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:3]] == [None, None, "stop"]
    assert all(c["choices"][0]["index"] == 0 for c in chunks[:3])


def test_the_usage_chunk_has_no_choice(chat):
    chunk = chat.usage(USAGE)
    assert chunk["choices"] == []
    assert chunk["usage"] == USAGE.body()


def test_a_text_stream_has_text_instead_of_a_delta(text):
    chunks = [text.first(), text.delta("a"), text.last("length")]
    assert [c["choices"][0]["text"] for c in chunks] == ["", "a", ""]
    assert all("delta" not in c["choices"][0] for c in chunks)
    assert {c["object"] for c in chunks} == {"text_completion"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_one_id_and_time_for_the_whole_stream_and_another_for_the_next(chat):
    chunks = [chat.first(), chat.delta("a"), chat.last("stop"), chat.usage(USAGE)]
    assert len({(c["id"], c["created"], c["model"]) for c in chunks}) == 1
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
