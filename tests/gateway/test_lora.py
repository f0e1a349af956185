"""Compositions through the gateway: passed on, reported, and never a name of their own."""

import json

import pytest

from tests.gateway.harness import FLEET, Setup, chat, make_fleet, run
from tests.gateway.test_routing import FOUND, measured

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


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("parts", "warning"),
    [
        (PARTS, "power: quarantined: loops"),
        ([PARTS[1]], "power: quarantined: loops"),
        ([{"id": "electronics"}], None),
        ([{"id": "power", "scale": 0}, {"id": "electronics"}], None),
        ([{"id": "worse", "scale": 2}], f"worse: evidence: {FOUND}"),
        (
            [{"id": "worse"}, {"id": "electronics"}, {"id": "power", "scale": -1}],
            f"worse: evidence: {FOUND}; power: quarantined: loops",
        ),
        ([{"id": "python"}], None),  # of another base: its worker refuses that
        ([{"id": "nobody"}], None),
    ],
)
def test_parts_that_would_not_be_chosen_are_warned_of_by_name(tmp_path, parts, warning, stream):
    setup = Setup(tmp_path)
    worse = measured("python")["python"]
    worse = {"worse": worse | {"base": "apertus", "domain": None}}
    setup.fleet = make_fleet(adapters=FLEET["adapters"] | worse)

    async def test(client):
        body = chat(lora=[{"scale": 1} | part for part in parts])
        answer = await client.post("/v1/chat/completions", json=body | {"stream": stream})
        assert answer.status_code == 200
        assert answer.headers.get("x-ailiance-warning") == warning
        assert (f'"warning":"{warning}"' in answer.text) == (warning is not None)
        assert (await client.post("/v1/route", json=body)).json()["warning"] == warning

    run(setup, test)
