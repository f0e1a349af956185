"""Compositions through the gateway: passed on, reported, and never a name of their own."""

import json

import pytest

from tests.gateway.harness import Setup, chat, run

PARTS = [{"id": "electronics", "scale": 0.5}, {"id": "power", "scale": 1}]


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def test_passed_to_the_named_base_and_reported(setup):
    async def test(client):
        answer = await client.post("/v1/chat/completions", json=chat(lora=PARTS))
        facts = answer.json()["ailiance"]
        assert answer.json()["model"] == "ailiance-apertus"
        assert facts["adapter"] == "electronics*0.5+power*1"
        assert [part["id"] for part in facts["adapters"]] == ["electronics", "power"]
        assert answer.headers["x-ailiance-adapter"] == "electronics*0.5+power*1"
        stream = await client.post("/v1/chat/completions", json=chat(lora=PARTS, stream=True))
        first = json.loads(stream.text.split("data: ")[1])
        assert first["model"] == "ailiance-apertus"
        assert first["ailiance"]["adapters"] == facts["adapters"]
        metrics = (await client.get("/metrics")).text
        assert "electronics*" not in metrics

    run(setup, test)
    assert setup.worker.requests[0]["lora"] == PARTS


def test_not_with_a_name_that_chooses_by_itself(setup):
    async def test(client):
        for model in ("ailiance", "ailiance-apertus-auto"):
            answer = await client.post("/v1/chat/completions", json=chat(model, lora=PARTS))
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == "lora"

    run(setup, test)
    assert setup.worker.requests == []
