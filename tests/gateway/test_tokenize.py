"""Tokenize and detokenize: whose tokenizer a name means, and what is sent to its server."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.exchange import INLINE_BYTES
from gateway.upstream import Upstream
from tests.gateway.fake_worker import Fake
from tests.gateway.harness import FLEET, Setup, make_fleet, run
from tests.gateway.test_errors import INVALID, check

TEXT = {"prompt": "Ohm"}
BASES = FLEET["bases"]


class Tokenizing(Fake):
    """Answers with one token a character; a prompt in JSON says what else happens."""

    def app(self):
        app = super().app()
        for path in ("/tokenize", "/detokenize"):
            app.router.routes.append(Route(path, self.tokens, methods=["POST"]))
        return app

    async def tokens(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        if "tokens" in body:
            return JSONResponse({"prompt": "".join(map(chr, body["tokens"]))})
        text = body.get("prompt", "")
        script = json.loads(text) if text.startswith("{") else {}
        ids = [ord(c) for c in text]
        answer = {"count": len(ids), "max_model_len": 9, "tokens": ids, "token_strs": None}
        return JSONResponse(script.get("answer", answer), status_code=script.get("status", 200))


@pytest.fixture
def setup(tmp_path):
    setup = Setup(tmp_path)
    setup.workers = {base: Tokenizing(base) for base in setup.workers}
    return setup


def post(setup, body, path="/tokenize", **options):
    return run(setup, lambda client: client.post(path, json=body, **options))


@pytest.mark.parametrize(
    ("model", "base", "sent"),
    [
        ("ailiance-apertus", "apertus", "apertus"),
        ("ailiance-apertus-auto", "apertus", "apertus"),
        ("ailiance-apertus-power", "apertus", "power"),
        ("amp", "apertus", "electronics"),
        ("devstral:python", "devstral", "python"),
        ("ailiance-big", "big", "org/Big-70B"),
        ("ailiance-big-auto", "big", "org/Big-70B"),
        ("ailiance-big-law", "big", "org/law-lora"),
    ],
)
def test_the_base_of_a_name(setup, model, base, sent):
    answer = post(setup, TEXT | {"model": model, "return_token_strs": True})
    assert answer.status_code == 200
    assert answer.json()["tokens"] == [ord(c) for c in "Ohm"]
    assert {name: w.requests for name, w in setup.workers.items() if w.requests} == {
        base: [TEXT | {"model": sent, "return_token_strs": True}]
    }


@pytest.mark.parametrize("named", [{}, {"model": "ailiance"}, {"model": "gpt-4o"}])
@pytest.mark.parametrize(("path", "body"), [("/tokenize", TEXT), ("/detokenize", {"tokens": [1]})])
def test_a_name_that_leaves_several_bases_open(setup, named, path, body):
    error = check(post(setup, body | named, path), 400, INVALID, None, "model")
    assert "name a base: ailiance-apertus, ailiance-devstral, ailiance-big" in error["message"]
    assert not any(worker.requests for worker in setup.workers.values())


@pytest.mark.parametrize("named", [{}, {"model": "ailiance"}, {"model": "gpt-4o"}])
def test_the_one_base_need_not_be_named(setup, named):
    adapters = {name: FLEET["adapters"][name] for name in ("electronics", "power")}
    setup.fleet = make_fleet(bases={"apertus": BASES["apertus"]}, adapters=adapters)
    setup.workers = {"apertus": setup.workers["apertus"]}
    assert post(setup, TEXT | named).status_code == 200
    assert setup.worker.requests == [TEXT | {"model": "apertus"}]


@pytest.mark.parametrize(("path", "body"), [("/tokenize", TEXT), ("/detokenize", {"tokens": [1]})])
def test_an_unknown_model(setup, path, body):
    answer = post(setup, body | {"model": "nope"}, path)
    check(answer, 404, INVALID, "model_not_found", "model")


def test_a_chat_and_its_options_are_sent_on(setup):
    body = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "add_generation_prompt": False,
        "continue_final_message": True,
    }
    headers = {"traceparent": "00-1", "x-request-id": "r1", "authorization": "Bearer s"}
    post(setup, body | {"model": "ailiance-apertus", "media_io_kwargs": {}}, headers=headers)
    assert setup.worker.requests == [body | {"model": "apertus"}]
    sent = setup.worker.headers[0]
    assert (sent["traceparent"], sent["x-request-id"]) == ("00-1", "r1")
    assert "authorization" not in sent


def test_detokenize(setup):
    answer = post(setup, {"model": "ailiance-devstral", "tokens": [79, 104]}, "/detokenize")
    assert answer.json() == {"prompt": "Oh"}
    assert setup.workers["devstral"].requests == [{"model": "devstral", "tokens": [79, 104]}]


def test_vllm_has_the_path_at_its_root(setup):
    async def test(client):
        await setup.gateway.upstreams["big"].aclose()
        uds = str(setup.folder / "big.sock")
        setup.gateway.upstreams["big"] = Upstream("big", url="http://vllm/v1", uds=uds)
        return await client.post("/tokenize", json=TEXT | {"model": "ailiance-big"})

    assert run(setup, test).json()["count"] == 3


def test_served_at_the_root_only(setup):
    check(post(setup, TEXT, "/v1/tokenize"), 404, INVALID, "not_found")
    check(post(setup, TEXT, "/v1/detokenize"), 404, INVALID, "not_found")


def test_a_large_answer_comes_as_it_was(setup):
    answer = post(setup, {"model": "ailiance-apertus", "prompt": "x" * (INLINE_BYTES + 1)})
    assert answer.json()["count"] == INLINE_BYTES + 1


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, None, "prompt"),
        (TEXT | {"chat_template": "x"}, "unsupported_parameter", "chat_template"),
        (TEXT | {"typo": 1}, "unknown_parameter", "typo"),
    ],
)
def test_bad_request(setup, body, code, param):
    check(post(setup, {"model": "ailiance-apertus"} | body), 400, INVALID, code, param)
    assert setup.worker.requests == []


def test_the_servers_own_error_is_passed_on(setup):
    error = {"message": "m", "type": INVALID, "param": "tokens", "code": None}
    script = {"status": 400, "answer": {"error": error}}
    body = {"model": "ailiance-apertus", "prompt": json.dumps(script)}
    assert check(post(setup, body), 400, INVALID, None, "tokens") == error


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"answer": {"choices": []}}, 502),
        ({"answer": ["tokens"]}, 502),
        ({"answer": {"detail": "Not Found"}, "status": 404}, 400),
    ],
)
def test_a_server_that_gives_no_tokens(setup, script, status):
    body = {"model": "ailiance-big", "prompt": json.dumps(script)}
    assert post(setup, body).status_code == status


def test_a_base_that_is_not_there(setup):
    async def test(client):
        (setup.folder / "apertus.sock").unlink()
        return await client.post("/tokenize", json=TEXT | {"model": "ailiance-apertus"})

    check(run(setup, test), 503, "service_unavailable_error", "worker_unavailable")
