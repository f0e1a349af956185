"""``explain`` over HTTP and on the command line, with the router that ships."""

import subprocess
import sys
from pathlib import Path

import pytest

from router import Router
from tests.gateway.harness import Setup, chat, run

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "EN 55032 conducted emissions fail at 180 kHz, which common mode choke?"


def explain(setup: Setup, body: dict):
    async def test(client):
        setup.gateway.use_router(Router.load())
        return await client.post("/v1/route", json=body)

    return run(setup, test)


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def test_an_explanation_says_what_decided(setup):
    answer = explain(setup, chat("ailiance", QUESTION) | {"explain": True}).json()
    told = answer["explanation"]
    assert answer["domain"] == told["decision"]["domain"] == "emc"
    assert answer["router"].startswith(told["router"])
    assert told["rule"]["name"] == "5"
    assert {"scores", "thresholds", "signals", "terms", "nearest", "changes"} <= set(told)
    assert len(told["nearest"]) == 5
    assert told["nearest"][0]["label"] == "emc"


def test_without_being_asked_or_asked_of_an_explicit_name_there_is_none(setup):
    assert "explanation" not in explain(setup, chat("ailiance", QUESTION)).json()
    explicit = chat("ailiance-apertus", QUESTION) | {"explain": True}
    answer = explain(setup, explicit).json()
    assert (answer["explanation"], answer["router"], answer["reason"]) == (None, None, "explicit")


def test_explain_is_a_field_of_the_dry_run_only(setup):
    async def test(client):
        body = chat("ailiance", "hi") | {"explain": True}
        return await client.post("/v1/chat/completions", json=body)

    answer = run(setup, test)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "explain")


def test_the_command_explains_in_lines_that_fit_a_terminal():
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "route", "--explain", QUESTION],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "emissions" in done.stdout
    assert max(map(len, done.stdout.splitlines()[7:])) <= 100
