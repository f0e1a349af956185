"""vLLM's endpoints in front of fake workers: texts, codes, and what is served afterwards."""

import asyncio
import json
import os

import pytest

from gateway.admin.access import Access
from gateway.admin.administration import MOST_DEATHS
from tests.gateway.admin.setups import Administered, load, mine, unload
from tests.gateway.harness import chat, run

COMMIT = "0123456789" * 4


def error_of(response):
    return response.json()["error"]


def test_loaded_served_and_unloaded(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        answer = await load(client)
        assert answer.status_code == 200
        assert answer.text == "Success: LoRA adapter 'mine' added successfully."
        assert answer.headers["content-type"].startswith("text/plain")
        assert setup.worker.changes == [("load", "mine", str(tmp_path / "mine"))]
        for name in ("ailiance-apertus-mine", "apertus:mine", "mine"):
            told = (await client.post("/v1/chat/completions", json=chat(name))).json()
            assert told["model"] == "ailiance-apertus-mine"
            assert told["ailiance"]["adapter"] == "mine"
        listed = [m["id"] for m in (await client.get("/v1/models")).json()["data"]]
        assert "ailiance-apertus-mine" in listed
        answer = await unload(client)
        assert answer.text == "Success: LoRA adapter 'mine' removed successfully."
        assert setup.worker.changes[-1] == ("unload", "mine")
        answer = await client.post("/v1/chat/completions", json=chat("ailiance-apertus-mine"))
        assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")

    run(setup, test)


def test_a_stream_under_way_ends_after_its_adapter_is_unloaded(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        await load(client)
        content = json.dumps({"tokens": ["a", "b", "c"], "hold_at": 1})
        body = chat("mine", content, stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as stream:
            lines = stream.aiter_lines()
            while "content" not in await anext(lines):
                pass
            assert (await unload(client)).status_code == 200
            setup.worker.go_on.set()
            rest = [line async for line in lines]
        assert rest[-2] == "data: [DONE]" or rest[-1] == "data: [DONE]"

    run(setup, test)


def test_what_is_loaded_is_not_loaded_twice_but_replaced_in_place(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        await load(client, domain="music")
        again = await load(client)
        assert again.status_code == 400
        assert error_of(again)["code"] == "InvalidUserInput"
        assert "has already been loaded" in error_of(again)["message"]
        answer = await load(client, lora_path="other", load_inplace=True)
        assert answer.status_code == 200
        assert setup.worker.adapters["mine"] == str(tmp_path / "other")
        assert setup.gateway.fleet.adapters["mine"].source == str(tmp_path / "other")
        assert setup.gateway.fleet.adapters["mine"].domain == "music"
        moved = await load(client, base="devstral", load_inplace=True)
        assert "unload it first" in error_of(moved)["message"]

    run(setup, test)


def test_what_the_worker_refuses_is_passed_on_and_changes_nothing(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        before = setup.gateway.fleet
        answer = await load(client, lora_path="bad")
        assert answer.status_code == 400
        assert error_of(answer)["message"] == "rank 8 is not 16"
        assert error_of(answer)["code"] == "InvalidUserInput"
        assert setup.gateway.fleet is before
        await load(client)
        answer = await load(client, lora_path="bad", load_inplace=True)
        assert answer.status_code == 400
        assert setup.gateway.fleet.adapters["mine"].source == str(tmp_path / "mine")

    run(setup, test)


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"base": None}, "base", "apertus, devstral"),
        ({"base": "nowhere"}, "base", "there is no base 'nowhere'"),
        ({"base": "big"}, "base", "served elsewhere"),
        ({"lora_name": "apertus"}, "lora_name", "a base is named"),
        ({"lora_name": "auto"}, "lora_name", "ailiance-apertus-auto"),
        ({"lora_name": "power"}, "lora_name", "already been loaded"),
        ({"lora_name": "power", "load_inplace": True}, "lora_name", "in the fleet file"),
        ({"lora_name": "law", "load_inplace": True}, "lora_name", "in the fleet file"),
        ({"lora_name": "Mine"}, "lora_name", "pattern"),
        ({"lora_name": "a\n"}, "lora_name", "pattern"),
        ({"lora_name": "a" * 64}, "lora_name", "63"),
        ({"lora_path": "../away"}, "lora_path", "outside"),
        ({"lora_path": "/etc"}, "lora_path", "outside"),
        ({"lora_path": "link"}, "lora_path", "outside"),
        ({"lora_path": "a\0b"}, "lora_path", "can't be a path"),
        ({"lora_path": "https://example.org/x"}, "lora_path", "nothing is fetched from a URL"),
        ({"lora_path": "file:///etc"}, "lora_path", "nothing is fetched from a URL"),
        ({"lora_path": "org/name@main"}, "lora_path", "pin its revision"),
        ({"domain": "nothing"}, "domain", "has no domain 'nothing'"),
        ({"domain": "electronics"}, "domain", "'electronics' serves domain"),
        ({"lora_path": None}, "lora_path", "required"),
        ({"load_inplace": "yes"}, "load_inplace", "boolean"),
    ],
)
def test_refused_before_a_worker_is_asked(tmp_path, fields, param, said):
    setup = Administered(tmp_path)
    (tmp_path / "link").symlink_to("/etc")

    async def test(client):
        answer = await load(client, **fields)
        assert answer.status_code == 400
        assert error_of(answer)["param"] == param
        assert error_of(answer)["code"] == "InvalidUserInput"
        assert said in error_of(answer)["message"]
        assert setup.worker.changes == []

    run(setup, test)


def test_a_pinned_hub_id_goes_to_the_worker_as_it_is(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        assert (await load(client, lora_path=f"org/name@{COMMIT}")).status_code == 200
        assert setup.worker.adapters["mine"] == f"org/name@{COMMIT}"

    run(setup, test)


def test_the_base_is_known_where_there_is_one(tmp_path):
    setup = Administered(tmp_path)
    bases = {name: b for name, b in setup.fleet.bases.items() if name != "devstral"}
    adapters = {n: a for n, a in setup.fleet.adapters.items() if a.base in bases}
    setup.fleet = setup.fleet.model_copy(update={"bases": bases, "adapters": adapters})

    async def test(client):
        assert (await load(client, base=None)).status_code == 200
        assert setup.gateway.fleet.adapters["mine"].base == "apertus"

    run(setup, test)


def test_an_adapter_of_the_file_is_read_anew_but_not_unloaded(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        answer = await load(
            client, lora_name="electronics", lora_path="demo/e", base=None, load_inplace=True
        )
        assert answer.status_code == 200
        source = str(tmp_path / "demo/e")
        assert setup.worker.changes == [("load", "electronics", source)]
        assert setup.gateway.fleet == setup.fleet
        answer = await unload(client, "electronics")
        assert answer.status_code == 400
        assert "remove it there" in error_of(answer)["message"]
        assert error_of(answer)["code"] == "InvalidUserInput"

    run(setup, test)


def test_unloading_what_is_not_there(tmp_path):
    async def test(client):
        answer = await unload(client)
        assert answer.status_code == 404
        assert error_of(answer) == {
            "message": "The lora adapter 'mine' cannot be found.",
            "type": "invalid_request_error",
            "param": "lora_name",
            "code": "NotFoundError",
        }

    run(Administered(tmp_path), test)


def test_a_domain_routes_to_it_at_once(tmp_path):
    async def test(client):
        body = chat("ailiance", "music please")
        before = (await client.post("/v1/route", json=body)).json()
        assert before["reason"] == "out_of_domain"
        await load(client, domain="music")
        after = (await client.post("/v1/route", json=body)).json()
        assert (after["adapter"], after["reason"]) == ("mine", "classified")

    run(Administered(tmp_path), test)


def test_the_list_tells_what_workers_say(tmp_path):
    setup = Administered(tmp_path)
    setup.worker.adapters.pop("power")

    async def test(client):
        await load(client)
        answer = (await client.get("/v1/adapters")).json()
        assert answer["object"] == "list"
        found = {each["name"]: each for each in answer["data"]}
        assert {name: each["state"] for name, each in found.items()} == {
            "electronics": "loaded",
            "power": "missing",
            "python": "loaded",
            "law": "external",
            "mine": "loaded",
        }
        assert found["mine"]["origin"] == "runtime"
        assert found["mine"]["model"] == "ailiance-apertus-mine"
        assert (found["mine"]["rank"], found["mine"]["tier"]) == (16, "slot")
        assert (found["power"]["status"], found["power"]["reason"]) == ("quarantined", "loops")
        assert found["law"]["digest"] is None

    run(setup, test)


def test_a_check_is_asked_of_the_workers_that_have_the_adapters(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        async def checked(asked):
            answer = (await client.get("/v1/adapters", params={"check": asked})).raise_for_status()
            return {each["name"] for each in answer.json()["data"] if each["check"]}

        assert await checked("electronics") == {"electronics"}
        assert setup.worker.checked == ["electronics"]
        assert {"electronics", "power"} <= await checked("all")
        # gone from its worker: no reason not to measure the others
        del setup.worker.adapters["power"]
        setup.worker.checked.clear()
        assert await checked("all") == {"electronics", "python"}
        for asked in ("power", "law", "nobody", ""):
            answer = await client.get("/v1/adapters", params={"check": asked})
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == "check"

    run(setup, test)


def test_many_at_once_are_loaded_one_after_another(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        names = [f"a{n}" for n in range(20)]
        answers = await asyncio.gather(*(load(client, lora_name=name) for name in names))
        assert [answer.status_code for answer in answers] == [200] * 20
        assert set(names) <= set(setup.gateway.fleet.adapters)
        same = await asyncio.gather(*(load(client, lora_name="same") for _ in range(5)))
        assert sorted(answer.status_code for answer in same) == [200, 400, 400, 400, 400]
        assert len(json.loads(setup.kept.file.read_text())["adapters"]) == 21

    run(setup, test)


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"])
def test_with_a_key_nothing_is_read_before_it(tmp_path, path):
    setup = Administered(tmp_path, Access("s3cret-s3cret-s3cret", on_loopback=True))

    async def test(client):
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
            answer = await client.post(path, content=b"no json", headers=given)
            assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
            assert (await client.get("/v1/adapters", headers=given)).status_code == 401
        right = {"authorization": "Bearer s3cret-s3cret-s3cret"}
        assert (await client.post(path, json=mine(), headers=right)).status_code in (200, 400)
        assert (await client.get("/v1/adapters", headers=right)).status_code == 200

    run(setup, test)


def test_without_a_key_it_is_off_elsewhere(tmp_path):
    async def test(client):
        answer = await load(client)
        assert (answer.status_code, error_of(answer)["type"]) == (403, "permission_error")
        assert "--admin-key-file" in error_of(answer)["message"]

    run(Administered(tmp_path, Access()), test)


def test_a_restarted_gateway_loads_them_again(tmp_path):
    first = Administered(tmp_path)

    async def before(client):
        await load(client, lora_name="one", domain="music")
        await load(client, lora_name="two", base="devstral")
        await load(client, lora_name="three")
        await unload(client, "three")

    run(first, before)
    assert os.stat(first.kept.file).st_mode & 0o777 == 0o600
    second = Administered(tmp_path)

    async def after(client):
        assert "ailiance-apertus-one" in second.gateway.known_names
        for base in ("apertus", "devstral"):
            await second.admin.restore(base, second.gateway.upstreams[base])
        assert second.workers["apertus"].changes == [("load", "one", str(tmp_path / "mine"))]
        assert second.workers["devstral"].changes == [("load", "two", str(tmp_path / "mine"))]
        assert second.gateway.fleet.adapters["one"].domain == "music"

    run(second, after)


def test_what_cannot_be_loaded_again_is_told_and_not_served(tmp_path, caplog):
    first = Administered(tmp_path)

    async def before(client):
        for name in ("one", "two", "three"):
            path = tmp_path / f"of-{name}"
            path.mkdir()
            await load(client, lora_name=name, lora_path=path.name)

    run(first, before)
    (tmp_path / "of-one").rmdir()
    (tmp_path / "of-one").symlink_to("/etc")
    (tmp_path / "of-two").rmdir()
    (tmp_path / "of-two").symlink_to(tmp_path / "bad")
    second = Administered(tmp_path)

    async def after(client):
        await second.admin.restore("apertus", second.gateway.upstreams["apertus"])
        assert [c[1] for c in second.worker.changes] == ["two", "three"]
        assert "ailiance-apertus-three" in second.gateway.known_names
        assert "ailiance-apertus-one" not in second.gateway.known_names
        found = {e["name"]: e for e in (await client.get("/v1/adapters")).json()["data"]}
        assert "outside" in found["one"]["reason"]
        assert "rank 8 is not 16" in found["two"]["reason"]
        assert found["two"]["status"] == "unavailable"
        assert (await load(client, lora_name="two", load_inplace=True)).status_code == 200
        assert "ailiance-apertus-two" in second.gateway.known_names
        assert (await unload(client, "one")).status_code == 200

    run(second, after)
    assert "run-time adapter one is not served: it can't be loaded again" in caplog.text


def test_an_adapter_that_ends_workers_is_given_up(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        await load(client)
        upstream = setup.gateway.upstreams["apertus"]
        setup.admin._deaths["mine"] = MOST_DEATHS
        await setup.admin.restore("apertus", upstream)
        assert "mine" not in setup.gateway.fleet.adapters
        assert "workers ended" in setup.admin.left_out["mine"]
        assert (await load(client, load_inplace=True)).status_code == 200
        assert "mine" in setup.gateway.fleet.adapters

    run(setup, test)


def test_without_a_store_they_last_as_long_as_the_gateway(tmp_path):
    setup = Administered(tmp_path)
    setup.kept = None

    async def test(client):
        answer = await load(client)
        assert answer.text == "Success: LoRA adapter 'mine' added successfully."

    run(setup, test)
    assert not (tmp_path / "state").exists()
