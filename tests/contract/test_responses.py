"""OpenAI's Responses API with the ``openai`` client, a real gateway and real workers."""

import asyncio
import json

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

BASE = "ailiance-apertus"
QUESTION = "How do I choose a decoupling capacitor?"
SHORT = 8  # tokens
ENOUGH = 64  # tokens of a short JSON answer
TOOL = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 9}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="me", max_retries=0, timeout=120) as client:
        yield client


def ask(client, given=QUESTION, model=BASE, **fields):
    fields = {"max_output_tokens": SHORT, "temperature": 0} | fields
    return client.responses.create(model=model, input=given, **fields)


def chat(client, messages, model=BASE):
    answer = client.chat.completions.create(
        model=model, messages=messages, max_tokens=SHORT, temperature=0
    )
    return answer.choices[0].message.content


def check(response, *statuses):
    assert isinstance(response, Response)
    assert response.object == "response"
    assert response.status in (statuses or ("completed", "incomplete"))
    assert response.model.startswith("ailiance-")
    usage = response.usage
    assert usage.input_tokens > 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert response.ailiance["base"] in ("apertus", "devstral")
    assert response.ailiance["base_digest"]


@pytest.mark.parametrize("model", ["ailiance", BASE, "ailiance-devstral-python"])
def test_says_what_a_chat_says(client, model):
    response = ask(client, model=model)
    check(response)
    assert response.output_text == chat(client, [{"role": "user", "content": QUESTION}], model)
    if response.status == "incomplete":
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.usage.output_tokens == SHORT


def test_streamed_is_the_plain_answer_in_events(client):
    whole = ask(client)
    with ask(client, stream=True) as stream:
        events = list(stream)
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert [e.type for e in events[:2]] == ["response.created", "response.in_progress"]
    deltas = [e for e in events if e.type == "response.output_text.delta"]
    assert "".join(e.delta for e in deltas) == whole.output_text
    last = events[-1].response
    check(last)
    assert events[-1].type == f"response.{whole.status}"
    assert last.output_text == whole.output_text
    assert last.usage.output_tokens == whole.usage.output_tokens
    assert client.responses.retrieve(last.id).output_text == whole.output_text


def test_the_clients_own_stream(client):
    with client.responses.stream(model=BASE, input=QUESTION, temperature=0) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text


def test_a_conversation_by_id_is_the_conversation(client):
    first = ask(client, "What is a diode?", instructions="Be brief.")
    second = ask(client, "And a transistor?", previous_response_id=first.id)
    check(second)
    # instructions are not carried on
    turns = [
        {"role": "user", "content": "What is a diode?"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "And a transistor?"},
    ]
    assert second.output_text == chat(client, turns)
    again = ask(client, turns, store=False)
    assert again.output_text == second.output_text
    (item,) = client.responses.input_items.list(second.id).data
    assert item.content[0].text == "And a transistor?"


def test_async_conversations_at_once(url):
    async def one(client, number):
        first = await client.responses.create(
            model=BASE, input=f"{number}?", max_output_tokens=SHORT
        )
        return await client.responses.create(
            model=BASE, input="and?", previous_response_id=first.id, max_output_tokens=SHORT
        )

    async def test():
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="me", max_retries=0, timeout=120
        ) as client:
            return await asyncio.gather(*(one(client, n) for n in range(12)))

    for response in asyncio.run(test()):
        check(response)


def test_what_was_said_before_can_be_sent_back(client):
    first = ask(client, store=False)
    given = [{"role": "user", "content": QUESTION}, *first.output]
    check(ask(client, [*given, {"role": "user", "content": "Why?"}], store=False))


def test_retrieve_and_delete(client):
    response = ask(client)
    assert client.responses.retrieve(response.id) == response
    with pytest.raises(openai.NotFoundError):
        client.with_options(api_key="you").responses.retrieve(response.id)
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, previous_response_id=response.id)
    assert caught.value.code == "previous_response_not_found"
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"model": "nothing-like-that"}, openai.NotFoundError, "model"),
        ({"tools": [{"type": "web_search"}]}, openai.BadRequestError, "tools[0].type"),
        ({"background": True}, openai.BadRequestError, "background"),
        ({"given": "a " * 20_000}, openai.BadRequestError, "input"),
        ({"max_output_tokens": 0}, openai.BadRequestError, "max_output_tokens"),
    ],
)
def test_errors(client, fields, error, param):
    with pytest.raises(error) as caught:
        ask(client, **fields)
    assert caught.value.param == param


def test_logprobs(client):
    fields = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    response = ask(client, **fields)
    part = response.output[0].content[0]
    assert len(part.logprobs) == response.usage.output_tokens
    assert all(len(p.top_logprobs) == 2 and p.logprob <= 0 for p in part.logprobs)
    with ask(client, stream=True, **fields) as stream:
        done = next(e for e in stream if e.type == "response.output_text.done")
    assert [p.token for p in done.logprobs] == [p.token for p in part.logprobs]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_call_there_and_back(client, streamed):
    fields = {"tools": [TOOL], "tool_choice": "required", "max_output_tokens": ENOUGH}
    if streamed:
        with ask(client, stream=True, **fields) as stream:
            events = list(stream)
        response = events[-1].response
        done = next(e for e in events if e.type == "response.function_call_arguments.done")
        deltas = [e for e in events if e.type == "response.function_call_arguments.delta"]
        assert "".join(e.delta for e in deltas) == done.arguments
    else:
        response = ask(client, **fields)
    check(response, "completed")
    called = next(item for item in response.output if item.type == "function_call")
    assert called.name == "add"
    assert set(json.loads(called.arguments)) == {"a", "b"}
    output = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "5"}
        for item in response.output
        if item.type == "function_call"
    ]
    check(ask(client, output, tools=[TOOL], previous_response_id=response.id))
    with pytest.raises(openai.BadRequestError, match="No tool output"):
        ask(client, "and?", tools=[TOOL], previous_response_id=response.id)


class Part(BaseModel):
    is_polar: bool
    pins: int


def test_parse(client):
    response = client.responses.parse(
        model=BASE, input=QUESTION, text_format=Part, max_output_tokens=ENOUGH, temperature=0
    )
    check(response, "completed")
    assert isinstance(response.output_parsed, Part)


def test_json_object(client):
    response = ask(
        client,
        text={"format": {"type": "json_object"}},
        max_output_tokens=ENOUGH,
    )
    check(response)
    if response.status == "completed":
        assert isinstance(json.loads(response.output_text), dict)
