"""Session headers: a follow-up inherits the topic, another client's session does not."""

import httpx
import pytest

from gateway.session import HEADERS, session_of
from tests.gateway.harness import Setup, chat, run


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


async def ask(client: httpx.AsyncClient, content: str, model="ailiance", **headers: str):
    response = await client.post("/v1/chat/completions", json=chat(model, content), headers=headers)
    assert response.status_code == 200, response.text
    told = response.json()["ailiance"]
    assert response.headers["x-ailiance-reason"] == told["reason"]
    return told["domain"], told["reason"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_follow_up_inherits_its_sessions_topic(setup, header):
    async def test(client):
        assert await ask(client, "electronics please", **{header: "s1"}) == (
            "electronics",
            "classified",
        )
        assert await ask(client, "and at 5 V?", **{header: "s1"}) == ("electronics", "sticky")
        assert await ask(client, "and at 5 V?", **{header: "s2"}) == (None, "low_confidence")
        assert await ask(client, "and at 5 V?") == (None, "low_confidence")

    run(setup, test)


def test_sessions_of_two_credentials_are_apart(setup):
    async def test(client):
        one = {"x-session-id": "s", "authorization": "Bearer one"}
        two = {"x-session-id": "s", "authorization": "Bearer two"}
        await ask(client, "electronics", **one)
        assert await ask(client, "and?", **one) == ("electronics", "sticky")
        assert await ask(client, "and?", **two) == (None, "low_confidence")

    run(setup, test)


def test_explicit_names_and_dry_runs_leave_the_session_alone(setup):
    async def test(client):
        await ask(client, "python", "ailiance-apertus", **{"x-session-id": "s"})
        body = chat("ailiance", "python")
        await client.post("/v1/route", json=body, headers={"x-session-id": "s"})
        assert await ask(client, "and?", **{"x-session-id": "s"}) == (None, "low_confidence")
        await ask(client, "electronics", **{"x-session-id": "s"})
        told = await client.post(
            "/v1/route", json=chat("ailiance", "and?"), headers={"x-session-id": "s"}
        )
        assert (told.json()["domain"], told.json()["reason"]) == ("electronics", "sticky")

    run(setup, test)


def test_the_first_of_the_headers_counts():
    given = {"x-conversation-id": "b", "x-session-id": "a"}
    assert session_of(given) == "\0a"
    assert session_of({"x-session-id": " ", "x-openwebui-chat-id": "c"}) == "\0c"
    assert session_of({}) is None
