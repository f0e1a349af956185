"""Results of an evaluation count for the version of the adapter that was measured."""

import pytest

from gateway.admin.plan import Refused
from tests.gateway.admin.setups import Administered, load
from tests.gateway.admin.test_fetching import file_of
from tests.gateway.fake_worker import digest_of
from tests.gateway.harness import chat, run

RULE = "humaneval >= base"
RESULT = {"benchmark": "humaneval", "base": 0.1, "adapter": 0.9, "date": "2026-11-20"}


@pytest.fixture
def setup(tmp_path):
    """``electronics`` has a good result, of what is at demo/e now."""
    setup = Administered(tmp_path)
    setup.fleet = edit(setup)
    return setup


def edit(setup, source="demo/e"):
    result = RESULT | {"source": "report.md", "digest": digest_of(str(setup.folder / "demo/e"))}
    entry = {"base": "apertus", "source": source, "domain": "electronics"}
    return file_of(setup, electronics=entry | {"evaluation": [result], "serve_if": RULE})


async def route(client, model="ailiance"):
    body = chat(model, "electronics please")
    return (await client.post("/v1/route", json=body)).json()


async def facts(client):
    return (await client.get("/v1/models/ailiance-apertus-electronics")).json()


def test_of_this_version_of_another_and_of_this_again(setup):
    folder = setup.folder
    other = f"({digest_of(str(folder / 'demo/e'))[:12]}, served is "
    other += f"{digest_of(str(folder / 'other'))[:12]})"
    words = f"humaneval: the result of 2026-11-20 is of another version {other}"

    async def test(client):
        await setup.admin.restore("apertus", setup.gateway.upstreams["apertus"])
        assert (await route(client))["reason"] == "classified"
        assert (await facts(client))["evaluation"]["fleet"][0]["of_this_version"] is True

        await setup.admin.take_file(edit(setup, "other"))
        told = await route(client)
        assert (told["adapter"], told["reason"]) == (None, "evidence")
        assert told["evidence"] == {"adapter": "electronics", "rule": RULE, "found": words}
        told = await route(client, "ailiance-apertus-electronics")
        assert told["warning"] == f"evidence: {words}"
        (shown,) = (await facts(client))["evaluation"]["fleet"]
        assert shown["of_this_version"] is False
        assert shown["digest"] == digest_of(str(folder / "demo/e"))
        listed = (await client.get("/v1/adapters")).json()["data"]
        found = next(each for each in listed if each["name"] == "electronics")
        assert found["evidence"]["found"] == words
        assert found["evaluation"] == [shown]

        await setup.admin.take_file(edit(setup))
        assert (await route(client))["reason"] == "classified"

    run(setup, test)


def test_what_is_refused_leaves_the_version_known(setup):
    async def test(client):
        await setup.admin.take_file(edit(setup, "other"))
        assert isinstance(await setup.admin.take_file(edit(setup, "bad")), Refused)
        assert (await route(client))["reason"] == "evidence"

    run(setup, test)


def test_it_is_known_from_the_start_of_a_worker_on(setup):
    setup.worker.adapters["electronics"] = "elsewhere"  # the file's folder has other content now

    async def test(client):
        assert (await route(client))["reason"] == "classified"
        assert setup.gateway.digests == {}
        await setup.admin.restore("apertus", setup.gateway.upstreams["apertus"])
        assert (await route(client))["reason"] == "evidence"
        setup.worker.adapters["electronics"] = str(setup.folder / "demo/e")
        await setup.admin.restore("apertus", setup.gateway.upstreams["apertus"])
        assert (await route(client))["reason"] == "classified"

    run(setup, test)


def test_read_anew_in_place(setup):
    setup.worker.adapters["electronics"] = "elsewhere"

    async def test(client):
        await setup.admin.restore("apertus", setup.gateway.upstreams["apertus"])
        assert (await route(client))["reason"] == "evidence"
        again = {"lora_name": "electronics", "lora_path": "demo/e", "base": None}
        assert (await load(client, **again, load_inplace=True)).status_code == 200
        assert (await route(client))["reason"] == "classified"

    run(setup, test)


def test_loaded_by_a_client_replaced_and_gone(setup):
    async def test(client):
        key = ("apertus", "mine")
        await load(client)
        assert setup.gateway.digests[key] == digest_of(str(setup.folder / "mine"))
        await load(client, lora_path="other", load_inplace=True)
        assert setup.gateway.digests[key] == digest_of(str(setup.folder / "other"))
        await client.post("/v1/unload_lora_adapter", json={"lora_name": "mine"})
        assert key not in setup.gateway.digests

    run(setup, test)
