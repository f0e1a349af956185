"""A slow download is in nobody's way, and changes nothing by itself."""

import asyncio

from gateway.admin.administration import Applied
from gateway.admin.plan import Load, Refused
from tests.gateway.admin.setups import Administered, load, unload
from tests.gateway.harness import make_fleet, run

COMMIT = "0123456789" * 4
SLOW, GONE, QUICK = (f"org/{name}@{COMMIT}" for name in ("slow", "gone", "quick"))


def file_of(setup, **adapters):
    """The setup's fleet file with other adapters; None takes one away."""
    plain = {n: a.model_dump(exclude_unset=True) for n, a in setup.fleet.adapters.items()}
    wanted = {n: a for n, a in (plain | adapters).items() if a is not None}
    return make_fleet(adapters=wanted, folder=setup.folder)


def test_others_are_loaded_unloaded_and_edited_meanwhile(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        slow = asyncio.create_task(load(client, lora_name="slow", lora_path=SLOW))
        await setup.worker.started.wait()
        assert (await load(client)).status_code == 200
        assert (await unload(client)).status_code == 200
        edit = file_of(setup, added={"base": "apertus", "source": "other"})
        assert isinstance(await setup.admin.take_file(edit), Applied)
        assert not slow.done()
        assert "slow" not in setup.worker.adapters
        assert "slow" not in setup.gateway.fleet.adapters
        setup.worker.go_on.set()
        assert (await slow).status_code == 200
        assert setup.worker.adapters["slow"] == SLOW
        assert {"slow", "added"} <= set(setup.gateway.fleet.adapters)

    run(setup, test)


def test_what_was_admitted_is_admitted_again_after_it(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        slow = asyncio.create_task(load(client, lora_path=SLOW, domain="music"))
        await setup.worker.started.wait()
        assert (await load(client, lora_name="other", domain="music")).status_code == 200
        setup.worker.go_on.set()
        answer = await slow
        assert answer.status_code == 400
        assert "'other' serves domain 'music'" in answer.json()["error"]["message"]
        assert "mine" not in setup.worker.adapters

    run(setup, test)


def test_a_download_that_fails_is_passed_on_and_changes_nothing(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        answer = await load(client, lora_path=GONE)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "the hub has no repository"
        assert setup.worker.changes == []

    run(setup, test)


def test_an_edit_is_planned_again_after_its_downloads(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        hub = {"base": "apertus", "source": SLOW}
        edit = file_of(setup, hub=hub, mine={"base": "apertus", "source": "other"})
        taking = asyncio.create_task(setup.admin.take_file(edit))
        await setup.worker.started.wait()
        assert (await load(client)).status_code == 200  # the file is about to take this name
        setup.worker.go_on.set()
        assert isinstance(await taking, Applied)
        assert setup.worker.adapters["mine"] == str(tmp_path / "other")
        assert setup.worker.adapters["hub"] == SLOW
        assert setup.admin.loaded == {}

    run(setup, test)


def test_an_edit_whose_download_fails_is_refused_whole(tmp_path):
    setup = Administered(tmp_path)

    async def test(_):
        edit = file_of(
            setup,
            a={"base": "apertus", "source": "mine"},
            b={"base": "apertus", "source": GONE},
            power=None,
        )
        before = setup.gateway.fleet
        refused = await setup.admin.take_file(edit)
        assert refused == Refused("adapter 'b': the hub has no repository")
        assert setup.worker.changes == []
        assert setup.gateway.fleet is before

    run(setup, test)


def test_only_what_is_on_the_hub_is_fetched(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        await load(client)
        edit = file_of(setup, a={"base": "apertus", "source": QUICK}, power=None)
        applied = await setup.admin.take_file(edit)
        assert isinstance(applied, Applied)
        assert Load("apertus", "a", QUICK) in applied.changes
        assert setup.worker.fetched == [QUICK]

    run(setup, test)


def test_a_pin_takes_effect_at_once_and_is_undone_with_its_edit(tmp_path):
    setup = Administered(tmp_path)

    async def test(client):
        power = {"base": "apertus", "source": "demo/p", "pinned": True}
        assert isinstance(await setup.admin.take_file(file_of(setup, power=power)), Applied)
        assert setup.worker.pinned == {"power"}
        listed = (await client.get("/v1/adapters")).json()["data"]
        assert [each["name"] for each in listed if each["pinned"]] == ["power"]
        # read anew, it stays pinned
        again = {"lora_name": "power", "lora_path": "demo/p", "base": None, "load_inplace": True}
        assert (await load(client, **again)).status_code == 200
        assert setup.worker.pinned == {"power"}
        edit = file_of(
            setup,
            electronics={"base": "apertus", "source": "demo/e", "pinned": True},
            power=power | {"pinned": False},
            x={"base": "apertus", "source": "bad"},
        )
        assert isinstance(await setup.admin.take_file(edit), Refused)
        assert setup.worker.pinned == {"power"}
        await setup.admin.take_file(file_of(setup))
        assert setup.worker.pinned == set()

    run(setup, test)
