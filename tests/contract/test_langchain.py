"""LangChain's ``ChatOpenAI`` and ``OpenAIEmbeddings`` against a real gateway."""

import asyncio
import math
from typing import Literal

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.contract.openai_client import MODEL

# openai's pydantic model of a parsed answer warns of itself when LangChain dumps it
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")

QUESTION = "How do I choose a decoupling capacitor?"
EMBEDDING_MODEL = MODEL  # the vectors are the base model's own
TURNS = [SystemMessage("Answer briefly."), HumanMessage(QUESTION)]


class Measure(BaseModel):
    """Reads one instrument."""

    quantity: Literal["voltage", "current", "power"]
    average: bool


@pytest.fixture
def url(gateway):
    """The gateway's URL; LangChain's own HTTP clients would stay open until the process ends."""
    with httpx.Client(timeout=120) as HTTP["client"]:
        yield gateway.url


HTTP: dict[str, httpx.Client] = {}


def chat(url, **options):
    options = {"model": MODEL, "max_tokens": 12, "temperature": 0} | options
    options |= {"api_key": "none", "max_retries": 0, "http_client": HTTP["client"]}
    return ChatOpenAI(base_url=f"{url}/v1", **options)


def check_usage(message):
    usage = message.usage_metadata
    assert usage["input_tokens"] > 0
    assert 0 < usage["output_tokens"] <= 12
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize("model", [MODEL, "ailiance-devstral-python", "ailiance-apertus-auto"])
def test_invoke(url, model):
    answer = chat(url, model=model).invoke(TURNS)
    assert isinstance(answer, AIMessage)
    assert answer.content
    assert answer.response_metadata["finish_reason"] in ("stop", "length")
    assert answer.response_metadata["model_name"].startswith("ailiance-")
    check_usage(answer)


def test_stream_is_the_answer_in_pieces(url):
    model = chat(url, stream_usage=True)
    whole = model.invoke(TURNS)
    first, *rest = model.stream(TURNS)
    for piece in rest:
        first += piece
    assert first.content == whole.content
    assert first.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]
    check_usage(first)


def test_batch_is_each_alone(url):
    model = chat(url)
    questions = [QUESTION, "What is a window function?", "Name a bus."]
    together = [answer.content for answer in model.batch(questions)]
    assert together == [model.invoke(question).content for question in questions]


def test_async(url):
    async def body():
        async with httpx.AsyncClient(timeout=120) as http:
            model = chat(url, http_async_client=http)
            whole, pieces = await asyncio.gather(model.ainvoke(TURNS), gathered(model))
            return whole.content, pieces

    async def gathered(model):
        return "".join([piece.content async for piece in model.astream(TURNS)])

    whole, pieces = asyncio.run(body())
    assert whole == pieces == chat(url).invoke(TURNS).content


def test_logprobs(url):
    answer = chat(url, logprobs=True, top_logprobs=2).invoke(TURNS)
    entries = answer.response_metadata["logprobs"]["content"]
    assert b"".join(bytes(e["bytes"]) for e in entries).decode() == answer.content
    assert all(sum(math.exp(t["logprob"]) for t in e["top_logprobs"]) <= 1.00001 for e in entries)


@pytest.mark.parametrize("choice", ["any", "Measure", True])
def test_bound_tools(url, choice):
    model = chat(url, max_tokens=128).bind_tools([Measure], tool_choice=choice)
    answer = model.invoke(TURNS)
    for call in answer.tool_calls:
        assert call["name"] == "Measure"
        Measure(**call["args"])
    assert answer.tool_calls
    assert answer.invalid_tool_calls == []
    first, *rest = model.stream(TURNS)
    for piece in rest:
        first += piece
    assert [(c["name"], c["args"]) for c in first.tool_calls] == [
        (c["name"], c["args"]) for c in answer.tool_calls
    ]


def test_round_trip(url):
    model = chat(url, max_tokens=128)
    call = model.bind_tools([Measure], tool_choice="any", strict=True).invoke(TURNS)
    results = [ToolMessage("3.3", tool_call_id=c["id"]) for c in call.tool_calls]
    answer = model.bind_tools([Measure], tool_choice="none").invoke([*TURNS, call, *results])
    assert answer.content
    assert answer.tool_calls == []


@pytest.mark.parametrize("strict", [None, True])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(url, method, strict):
    model = chat(url, max_tokens=128).with_structured_output(Measure, method=method, strict=strict)
    assert isinstance(model.invoke(TURNS), Measure)
    *_, last = model.stream(TURNS)
    assert last == model.invoke(TURNS)


def test_structured_output_and_the_answer_itself(url):
    model = chat(url, max_tokens=128).with_structured_output(Measure, include_raw=True)
    found = model.invoke(TURNS)
    assert found["parsing_error"] is None
    assert Measure.model_validate_json(found["raw"].content) == found["parsed"]
    # such an answer, sent back as a turn
    assert chat(url).invoke([*TURNS, found["raw"], *TURNS[1:]]).content


def test_responses_api(url):
    model = chat(url, use_responses_api=True)
    answer = model.invoke(TURNS)
    assert answer.text
    check_usage(answer)
    assert "".join(piece.text for piece in model.stream(TURNS)) == answer.text
    bound = chat(url, use_responses_api=True, max_tokens=128).bind_tools(
        [Measure], tool_choice="any"
    )
    (call, *_) = bound.invoke(TURNS).tool_calls
    Measure(**call["args"])


def test_embeddings(url):
    # with check_embedding_ctx_length it would load OpenAI's tokenizer from the internet
    model = OpenAIEmbeddings(
        model=EMBEDDING_MODEL,
        base_url=f"{url}/v1",
        api_key="none",
        max_retries=0,
        http_client=HTTP["client"],
        check_embedding_ctx_length=False,
    )
    first, second = model.embed_documents([QUESTION, "Name a bus."])
    assert len(first) == len(second) > 0
    assert sum(x * x for x in first) == pytest.approx(1, abs=1e-3)
    assert model.embed_query(QUESTION) == pytest.approx(first, abs=1e-5)
