"""Evidence as a client sees it: reason, words, warning and metrics; the command line."""

import subprocess
import sys

import pytest

from gateway.admin.plan import plan_changes
from gateway.supervisor import worker_env
from tests.gateway.harness import Setup, chat, make_fleet, run
from tests.gateway.test_routing import FOUND, RULE, measured

LACKING = {"adapter": "python", "rule": RULE, "found": FOUND}


@pytest.fixture
def setup(tmp_path):
    setup = Setup(tmp_path)
    setup.fleet = make_fleet(adapters=measured("python"))
    return setup


def test_the_automatic_name_goes_to_the_base_and_says_why(setup):
    async def test(client):
        asked = chat("ailiance", content='{"tokens": ["python"]}')
        response = await client.post("/v1/chat/completions", json=asked)
        told = response.json()["ailiance"]
        assert (told["model"], told["adapter"]) == ("ailiance-devstral", None)
        assert (told["reason"], told["domain"]) == ("evidence", "python")
        assert (told["evidence"], told["warning"]) == (LACKING, None)
        assert response.headers["x-ailiance-reason"] == "evidence"
        assert "x-ailiance-warning" not in response.headers
        routed = (await client.post("/v1/route", json=asked)).json()
        assert (routed["reason"], routed["evidence"]) == ("evidence", LACKING)
        metrics = (await client.get("/metrics")).text
        assert 'ailiance_route_decisions_total{domain="python",reason="evidence"} 1.0' in metrics

    run(setup, test)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "warning"),
    [
        ("ailiance-devstral-python", f"evidence: {FOUND}"),
        ("ailiance-apertus-power", "quarantined: loops"),
        ("ailiance-apertus-electronics", None),
        ("ailiance-apertus", None),
    ],
)
def test_the_explicit_name_serves_with_a_warning(setup, model, warning, stream):
    async def test(client):
        asked = chat(model, stream=stream)
        response = await client.post("/v1/chat/completions", json=asked)
        assert response.headers["x-ailiance-model"] == model
        assert response.headers.get("x-ailiance-warning") == warning
        assert (f'"warning":"{warning}"' in response.text) == (warning is not None)
        routed = (await client.post("/v1/route", json=chat(model))).json()
        assert routed["warning"] == warning

    run(setup, test)


def test_a_running_gateway_takes_it_without_loading_anything():
    wanted = make_fleet(adapters=measured("python"), evidence={"serve_if": RULE})
    assert plan_changes(make_fleet(), wanted) == []


FILE = """\
version: 1
bases: {b: {engine: openai, url: "http://127.0.0.1:1", model: m}}
adapters: {e: {base: b, source: e, domain: electronics, serve_if: "humaneval >= base"}}
domains: {electronics: {description: circuits}}
"""


def test_the_command_line_says_why(tmp_path):
    (tmp_path / "adapters.yaml").write_text(FILE, "utf-8")
    command = [sys.executable, "-P", "-m", "gateway", "route", "pull-up resistor for a MOSFET gate"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=worker_env(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "reason      evidence\nevidence    e: humaneval: no result\n" in done.stdout
