"""Tokenize and detokenize by a base's own tokenizer: those of the embedded fleet, no weights."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlx_lm.utils import load_tokenizer
from starlette.testclient import TestClient

from tests.worker.prompt.templates import Tokenizer, tokenizer
from wire.errors import InvalidRequest, ModelNotFound
from wire.requests import parse_chat
from worker.prompt.prompter import Prompter
from worker.residency.adapters import AdapterVersion, Registry
from worker.server import app as worker_app
from worker.server.app import Service, build_app
from worker.server.resident import Resident
from worker.server.tokens import Tokens

MODELS = Path(__file__).resolve().parents[3] / "demo" / "models"
CHAT = [{"role": "user", "content": "hi "}, {"role": "assistant", "content": "Sure, the"}]
LIMIT = 64


@pytest.fixture(scope="module", params=["apertus", "devstral"])
def prompter(request: pytest.FixtureRequest) -> Prompter:
    return Prompter(load_tokenizer(MODELS / request.param), max_model_len=LIMIT)


@pytest.fixture
def resident() -> Resident:
    adapter = AdapterVersion("dsp", "d" * 64, Path(), "mlx", 8, 1, 1, 1.0)
    return Resident("base", "r", "b" * 64, LIMIT, 2048, "none", 0, Registry([adapter]), 16)


@pytest.fixture
def tokens(prompter: Prompter, resident: Resident) -> Tokens:
    return Tokens(prompter, resident)


def ask(answer: Callable[[bytes], bytes], **body: Any) -> dict[str, Any]:
    return json.loads(answer(json.dumps(body).encode()))


def decoded(tokens: Tokens, **body: Any) -> str:
    ids = ask(tokens.tokenize, **body)["tokens"]
    return ask(tokens.detokenize, tokens=ids)["prompt"]


@pytest.mark.parametrize("text", ["", " a  b .\n", "it 's , é日本🙂", "x" * 5000])
def test_round_trip(tokens: Tokens, text: str) -> None:
    answer = ask(tokens.tokenize, prompt=text, add_special_tokens=False)
    assert set(answer) == {"count", "max_model_len", "tokens", "token_strs"}
    assert answer["count"] == len(answer["tokens"])
    assert (answer["max_model_len"], answer["token_strs"]) == (LIMIT, None)
    assert ask(tokens.detokenize, tokens=answer["tokens"]) == {"prompt": text}


def test_special_tokens(tokens: Tokens) -> None:
    bare = ask(tokens.tokenize, prompt="Ohm", add_special_tokens=False)["tokens"]
    answer = ask(tokens.tokenize, prompt="Ohm", return_token_strs=True)
    assert answer["tokens"] == [1, *bare]
    assert answer["token_strs"][0] == "<s>"
    assert len(answer["token_strs"]) == answer["count"]


def test_a_chat_has_the_tokens_of_its_completion(tokens: Tokens, prompter: Prompter) -> None:
    messages = [{"role": "developer", "content": "be brief"}, *CHAT[:1]]
    chat = parse_chat(json.dumps({"model": "base", "messages": messages}).encode())
    assert ask(tokens.tokenize, messages=messages)["tokens"] == prompter.chat(chat).tokens


def test_the_options_of_a_chat(tokens: Tokens) -> None:
    closed = decoded(tokens, messages=CHAT, add_generation_prompt=False)
    begun = decoded(tokens, messages=CHAT)
    options = {"add_generation_prompt": False, "continue_final_message": True}
    left_open = decoded(tokens, messages=CHAT, **options)
    assert begun.startswith(closed)
    assert closed.startswith(left_open)
    assert left_open.endswith("Sure, the")
    assert closed != left_open
    for more in ({}, options):
        twice = decoded(tokens, messages=CHAT, add_special_tokens=True, **more)
        assert twice == "<s>" + decoded(tokens, messages=CHAT, **more)


@pytest.mark.parametrize("beyond", [-1, 2048, 2**31, 2**70])
def test_ids_outside_the_vocabulary(tokens: Tokens, beyond: int) -> None:
    with pytest.raises(InvalidRequest, match=str(beyond)) as caught:
        ask(tokens.detokenize, tokens=[5, beyond])
    assert caught.value.param == "tokens"


@pytest.mark.parametrize("model", [None, "base", "dsp", "base:dsp"])
def test_the_model_may_be_left_out_or_any_of_the_base(tokens: Tokens, model: str | None) -> None:
    assert ask(tokens.tokenize, model=model, prompt="a")["count"]
    assert ask(tokens.detokenize, model=model, tokens=[]) == {"prompt": ""}


def test_an_unknown_model(tokens: Tokens) -> None:
    for answer, body in ((tokens.tokenize, {"prompt": "a"}), (tokens.detokenize, {"tokens": [1]})):
        with pytest.raises(ModelNotFound):
            ask(answer, model="other", **body)


def test_a_template_that_drops_the_final_message(resident: Resident) -> None:
    drops = Tokenizer("{{ messages[0].content }}")
    options = {"add_generation_prompt": False, "continue_final_message": True}
    with pytest.raises(InvalidRequest, match="final message can't be left open") as caught:
        ask(Tokens(Prompter(drops, LIMIT), resident).tokenize, messages=CHAT, **options)
    assert caught.value.param == "messages"
    assert "Sure" not in caught.value.message


def test_tools_and_template_variables(resident: Resident) -> None:
    prompter = Prompter(tokenizer("chatml_tools"), LIMIT)
    tokens = Tokens(prompter, resident)
    spec = {"name": "resistor", "description": "x" * LIMIT}
    body = {
        "messages": CHAT[:1],
        "tools": [{"type": "function", "function": spec}],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    text = prompter.tokenizer.decode(ask(tokens.tokenize, **body)["tokens"])
    assert '"resistor"' in text
    assert text.endswith("</think>")
    with pytest.raises(InvalidRequest, match="'tokenize' is not the client's"):
        ask(tokens.tokenize, messages=CHAT, chat_template_kwargs={"tokenize": True})


def test_typed_special_tokens_of_a_chat_are_text(tokens: Tokens) -> None:
    body = {"messages": [{"role": "user", "content": "a</s>b"}], "add_special_tokens": True}
    found = ask(tokens.tokenize, **body)["tokens"]
    assert 2 not in found
    assert ask(tokens.tokenize, prompt="a</s>b")["tokens"].count(2) == 1
    assert "a</s>b" in decoded(tokens, **body)


@pytest.mark.parametrize("length", [3, worker_app.INLINE_BYTES])
def test_over_http_small_and_large(prompter: Prompter, resident: Resident, length: int) -> None:
    nothing: Any = None
    planner: Any = SimpleNamespace(prompter=prompter)
    nothing: Any = None
    app = build_app(Service(nothing, resident, planner, nothing, nothing, nothing, nothing))
    text = "é " * length
    client = TestClient(app)
    body = {"prompt": text, "add_special_tokens": False}
    answer = client.post("/tokenize", json=body)
    assert answer.headers["content-type"] == "application/json"
    back = client.post("/detokenize", json={"tokens": answer.json()["tokens"]})
    assert back.json() == {"prompt": text}
    refused = client.post("/detokenize", json={"tokens": [9**9]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "tokens"
    assert client.post("/v1/tokenize", json=body).status_code == 404
