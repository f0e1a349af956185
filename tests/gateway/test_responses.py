"""``/v1/responses`` through the gateway over real sockets, mostly with openai's own client."""

import asyncio
import json

import openai
import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from gateway.cli import main
from gateway.responses.store import Store
from tests.gateway.harness import Setup, run
from tests.gateway.responses.chunks import USAGE, call, read, stream_of
from wire.sse import encode_data

PATH = "/v1/responses"
AMP = "ailiance-apertus-power"
TOOL = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}


class Scripted:
    """A worker that says what it is told: a list of deltas for each request, plain or streamed."""

    def __init__(self, *answers, finish="stop"):
        self.answers = list(answers)
        self.finish = finish
        self.requests = []
        self.hold, self.left = asyncio.Event(), asyncio.Event()

    def app(self):
        return Starlette(routes=[Route("/v1/chat/completions", self.generate, methods=["POST"])])

    async def generate(self, request):
        body = await request.json()
        self.requests.append(body)
        deltas = self.answers.pop(0) if self.answers else [{"content": "Hello"}]
        if body.get("stream"):
            return StreamingResponse(self.stream(deltas), media_type="text/event-stream")
        message = {"role": "assistant", "content": None}
        for delta in deltas:
            message |= delta
        choice = {"index": 0, "message": message, "finish_reason": self.finish, "logprobs": None}
        answer = {"id": "chatcmpl-1", "model": body["model"], "choices": [choice], "usage": USAGE}
        return JSONResponse(answer | {"ailiance": {"base": "apertus", "adapter": "power"}})

    async def stream(self, deltas):
        for line in stream_of(*deltas, finish=self.finish):
            yield encode_data(line)
            if '"hold"' in line:
                try:
                    await self.hold.wait()
                except asyncio.CancelledError:
                    self.left.set()
                    raise


class Case:
    """A gateway with a store in front of a scripted worker."""

    def __init__(self, tmp_path):
        self.setup = Setup(tmp_path)
        self.folder = tmp_path / "state"
        self.worker = Scripted()
        self.stores = True

    def run(self, test, *answers, **script):
        if answers or script:
            self.worker = Scripted(*answers, **script)
        self.setup.workers["apertus"] = self.worker

        async def body(http):
            if self.stores:
                self.setup.gateway.store = Store(self.folder)
            url = f"{self.setup.url}/v1"
            async with openai.AsyncOpenAI(base_url=url, api_key="me", max_retries=0) as client:
                return await test(client, http)

        return run(self.setup, body)


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def ask(client, given="hi", **fields):
    return client.responses.create(model=AMP, input=given, **fields)


def raw(case, **fields):
    """The answer to a body, without a client."""

    async def test(_, http):
        return await http.post(PATH, json={"model": AMP, "input": "hi"} | fields)

    return case.run(test)


def test_plain(case):
    async def test(client, http):
        answer = await client.responses.with_raw_response.create(
            model=AMP, input="hi", instructions="be short", max_output_tokens=5, metadata={"a": "b"}
        )
        response = answer.parse()
        assert response.output_text == "Hello"
        assert response.status == "completed"
        assert response.model == AMP
        assert response.instructions == "be short"
        assert response.metadata == {"a": "b"}
        assert response.usage.input_tokens_details.cached_tokens == 2
        assert response.ailiance["reason"] == "explicit"
        assert response.store is True
        assert answer.headers["x-ailiance-model"] == AMP
        assert float(answer.headers["x-ailiance-overhead-ms"]) >= 0
        assert await client.responses.retrieve(response.id) == response
        metrics = (await http.get("/metrics")).text
        assert 'gen_ai_operation_name="chat"' in metrics
        assert 'gen_ai_token_type="output"} 3.0' in metrics

    case.run(test)
    (sent,) = case.worker.requests
    assert sent == {
        "model": "power",
        "messages": [
            {"role": "system", "content": "be short"},
            {"role": "user", "content": "hi"},
        ],
        "max_completion_tokens": 5,
    }


def test_stream(case):
    async def test(client, http):
        async with client.responses.stream(model=AMP, input="hi") as stream:
            types = [event.type async for event in stream]
            response = await stream.get_final_response()
        assert types[0] == "response.created"
        assert types[-1] == "response.completed"
        assert response.output_text == "Hello"
        # the client had its last event, so whatever comes next finds the response
        assert (await client.responses.retrieve(response.id)).output_text == "Hello"
        body = {"model": AMP, "input": "hi", "stream": True}
        answer = await http.post(PATH, json=body)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        assert b"[DONE]" not in answer.content
        assert read(answer.content)[-1]["type"] == "response.completed"
        metrics = (await http.get("/metrics")).text
        assert 'vllm:time_to_first_token_seconds_count{model_name="apertus"} 2.0' in metrics

    case.run(test)
    assert case.worker.requests[0]["stream_options"] == {"include_usage": True}


def test_a_conversation(case):
    async def test(client, _):
        first = await ask(client, "one", instructions="be short")
        second = await ask(client, "two", previous_response_id=first.id, stream=True)
        last = [event async for event in second][-1].response
        third = await ask(client, "three", previous_response_id=last.id)
        assert third.previous_response_id == last.id
        items = await client.responses.input_items.list(third.id)
        assert [item.content[0].text for item in items.data] == ["three"]
        # deleted from the middle: never answered as if nothing were missing
        await client.responses.delete(last.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(client, "four", previous_response_id=third.id)
        assert caught.value.code == "previous_response_not_found"

    case.run(test, [{"content": "1"}], [{"content": "2"}], [{"content": "3"}])
    assert case.worker.requests[2]["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "three"},
    ]
    assert len(case.worker.requests) == 3


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("by_id", [True, False])
def test_function_calls_there_and_back(case, streamed, by_id):
    async def test(client, _):
        first = await ask(client, "2+3?", tools=[TOOL], stream=streamed)
        if streamed:
            first = [event async for event in first][-1].response
        (called,) = first.output
        assert (called.name, called.arguments, called.call_id) == ("add", '{"a":2}', "c9")
        given = [{"type": "function_call_output", "call_id": called.call_id, "output": "5"}]
        if by_id:
            return await ask(client, given, tools=[TOOL], previous_response_id=first.id)
        before = [{"role": "user", "content": "2+3?"}, *first.output]
        return await ask(client, before + given, tools=[TOOL], store=False)

    calls = [{"tool_calls": [call(0, '{"a":2}', name="add", id="c9")]}]
    response = case.run(test, calls, [{"content": "5"}])
    assert response.output_text == "5"
    assert response.tools[0].name == "add"
    function = {"name": "add", "arguments": '{"a":2}'}
    assert case.worker.requests[1]["messages"] == [
        {"role": "user", "content": "2+3?"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c9", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c9", "content": "5"},
    ]
    assert case.worker.requests[1]["tools"][0]["function"]["strict"] is True


class Sum(BaseModel):
    total: int


def test_parse(case):
    async def test(client, _):
        response = await client.responses.parse(model=AMP, input="2+3?", text_format=Sum)
        assert response.output_parsed == Sum(total=5)
        async with client.responses.stream(model=AMP, input="?", text_format=Sum) as stream:
            assert (await stream.get_final_response()).output_parsed == Sum(total=6)

    case.run(test, [{"content": '{"total":5}'}], [{"content": '{"total":6}'}])
    given = case.worker.requests[0]["response_format"]["json_schema"]
    assert (given["name"], given["strict"]) == ("Sum", True)
    assert given["schema"]["properties"]["total"]["type"] == "integer"


def test_items_by_reference(case):
    async def test(client, _):
        first = await ask(client, "one")
        items = await client.responses.input_items.list(first.id)
        given = [
            {"type": "item_reference", "id": items.data[0].id},
            {"id": first.output[0].id},
            {"role": "user", "content": "two"},
        ]
        await ask(client, given)
        with pytest.raises(openai.NotFoundError):
            await ask(client, [{"type": "item_reference", "id": "msg_1"}])

    case.run(test)
    assert [m["content"] for m in case.worker.requests[1]["messages"]] == ["one", "Hello", "two"]


def test_another_credential_finds_nothing(case):
    async def test(client, _):
        response = await ask(client)
        other = client.with_options(api_key="you")
        for attempt in (
            other.responses.retrieve(response.id),
            other.responses.delete(response.id),
            other.responses.input_items.list(response.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await attempt
        with pytest.raises(openai.BadRequestError):
            await ask(other, previous_response_id=response.id)
        await client.responses.retrieve(response.id)
        await client.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)

    case.run(test)


def test_what_is_not_to_be_stored_is_not_on_disk(case):
    async def test(client, _):
        for stream in (False, True):
            response = await ask(client, "a secret of mine", store=False, stream=stream)
            if stream:
                response = [event async for event in response][-1].response
            assert response.store is False
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(response.id)
        await ask(client, "no secret")
        assert any(b"no secret" in f.read_bytes() for f in case.folder.iterdir())
        assert not any(b"a secret of mine" in f.read_bytes() for f in case.folder.iterdir())

    case.run(test)


def test_a_gateway_that_stores_nothing_says_so(case):
    case.stores = False

    async def test(client, _):
        response = await ask(client, store=True)
        assert response.store is False
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)
        with pytest.raises(openai.BadRequestError, match="stores no responses") as caught:
            await ask(client, previous_response_id=response.id)
        assert caught.value.param == "previous_response_id"

    case.run(test)


def test_a_call_that_was_cut_off_is_not_carried_on(case):
    async def test(client, _):
        first = await ask(client, "2+3?", tools=[TOOL], max_output_tokens=3)
        assert first.status == "incomplete"
        assert first.incomplete_details.reason == "max_output_tokens"
        await ask(client, "again", previous_response_id=first.id)

    calls = [{"tool_calls": [call(0, '{"a', name="add", id="c9")]}]
    case.run(test, calls, finish="length")
    assert [m["content"] for m in case.worker.requests[1]["messages"]] == ["2+3?", "again"]


ERROR = {"error": {"message": "boom", "type": "server_error", "code": "engine_failed"}}


def test_a_failed_response_can_be_read_but_not_gone_on_from(case):
    async def test(client, http):
        events = [event async for event in await ask(client, stream=True)]
        assert [e.type for e in events].count("response.failed") == 1
        failed = events[-1].response
        assert failed.error.code == "server_error"
        assert (await client.responses.retrieve(failed.id)).status == "failed"
        with pytest.raises(openai.BadRequestError, match="failed"):
            await ask(client, previous_response_id=failed.id)
        assert 'error_type="engine_failed"' in (await http.get("/metrics")).text

    case.run(test, [{"content": "a"}, ERROR])


def test_a_stream_the_client_left_is_not_stored(case):
    async def test(client, http):
        stream = await ask(client, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        await case.worker.left.wait()
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(event.item_id.replace("msg_", "resp_")[:53])
        assert 'error_type="client_disconnected"' in (await http.get("/metrics")).text

    case.run(test, [{"content": "hold"}, {"content": "b"}])


def test_the_router_reads_the_whole_conversation(case):
    async def test(client, _):
        first = await client.responses.create(model="ailiance", input="electronics?")
        assert first.ailiance["domain"] == "electronics"
        assert first.ailiance["reason"] == "classified"

    case.run(test)
    assert case.worker.requests[0]["model"] == "electronics"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, 400, "tools[0].type"),
        ({"background": True}, 400, "background"),
        ({"conversation": "conv_1"}, 400, "conversation"),
        ({"previous_response_id": "resp_1"}, 400, "previous_response_id"),
        ({"model": "nothing"}, 404, "model"),
        ({"tool_choice": "required"}, 400, None),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, 400, "input"),
        ({"tools": [TOOL, TOOL]}, 400, None),
    ],
)
def test_refused(case, fields, status, param):
    answer = raw(case, **fields)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["param"] == param
    assert case.worker.requests == []


def test_the_upstreams_refusal_names_our_field(tmp_path):
    setup = Setup(tmp_path)
    error = {"message": "long", "type": "invalid_request_error", "param": "messages", "code": "c"}

    async def test(client):
        script = json.dumps({"status": 400, "body": {"error": error}})
        for stream in (True, False):
            body = {"model": "ailiance-apertus", "input": script, "stream": stream}
            answer = await client.post(PATH, json=body)
            assert answer.status_code == 400
            assert answer.json()["error"] == error | {"param": "input"}

    run(setup, test)


def test_an_upstream_that_is_busy_says_when_to_come_again(tmp_path):
    setup = Setup(tmp_path)
    error = {"message": "busy", "type": "t", "param": None, "code": "server_is_overloaded"}
    script = {"status": 503, "body": {"error": error}, "headers": {"retry-after": "7"}}

    async def test(client):
        body = {"model": "ailiance-apertus", "input": json.dumps(script)}
        answer = await client.post(PATH, json=body)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")

    run(setup, test)


def test_a_conversation_of_many_items_is_read_in_a_thread(case):
    turns = [{"role": "user", "content": f"turn {n}"} for n in range(300)]

    async def test(client, _):
        first = await ask(client, turns)
        items = [n.id async for n in client.responses.input_items.list(first.id, limit=100)]
        assert len(items) == 300
        await ask(client, "and?", previous_response_id=first.id)
        await ask(client, [{"type": "item_reference", "id": i} for i in items])

    case.run(test)
    sent = [[m["content"] for m in body["messages"]] for body in case.worker.requests]
    said = [turn["content"] for turn in turns]
    assert sent == [said, [*said, "Hello", "and?"], said[::-1]]


def test_paths_about_one_response(case):
    async def test(client, http):
        head = {"authorization": "Bearer me"}
        given = [{"role": "user", "content": str(n)} for n in range(30)]
        response = await ask(client, given)
        texts = [
            item.content[0].text
            async for item in client.responses.input_items.list(response.id, order="asc", limit=7)
        ]
        assert texts == [str(n) for n in range(30)]
        url = f"{PATH}/{response.id}"
        for query, param in (
            ("stream=true", "stream"),
            ("starting_after=3", "starting_after"),
        ):
            answer = await http.get(f"{url}?{query}", headers=head)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
        for query, param in (("limit=0", "limit"), ("order=up", "order"), ("after=x", "after")):
            answer = await http.get(f"{url}/input_items?{query}", headers=head)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
        with pytest.raises(openai.BadRequestError, match="background"):
            await client.responses.cancel(response.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.cancel("resp_none")
        answer = await http.delete(url, headers=head)
        assert answer.json() == {"id": response.id, "object": "response", "deleted": True}

    case.run(test)


def test_a_state_folder_and_no_store_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--no-store", "--state", "x"])
    assert caught.value.code == 2
    assert "--no-store" in capsys.readouterr().err
