"""Adapters come and go over HTTP while others answer."""

import asyncio
import gc
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import mlx.core as mx
import pytest

from fleet.errors import SourceError
from fleet.load import load_fleet
from tests.worker.conftest import ROOT
from tests.worker.residency.adapter_files import random_fleet, write_adapter, write_adapters
from tests.worker.server.conftest import Names, Worker
from wire.errors import InvalidRequest
from worker.check.examples import Example
from worker.check.judge import Judge
from worker.check.run import Wanted, check_base
from worker.check.verdict import Verdict
from worker.pieces import Pieces
from worker.server.adapters import Adapters, FetchRequest, LoadRequest
from worker.server.checks import VISIT_PIECES, Checks

SLOTS = 3
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    """Of the adapters r000 and r001 on three slots."""
    fleet = random_fleet(write_adapters(folder, 2), SLOTS)
    fleet = fleet.model_copy(update={"lora_roots": (str(folder),)})
    with asyncio.Runner() as runner:
        worker = Worker(runner, fleet)
        yield worker
        worker.stop()


async def load(client: httpx.AsyncClient, name: str, path: Path, **how: Any) -> httpx.Response:
    body = {"lora_name": name, "lora_path": str(path), **how}
    return await client.post("/v1/load_lora_adapter", json=body)


async def unload(client: httpx.AsyncClient, name: str) -> httpx.Response:
    return await client.post("/v1/unload_lora_adapter", json={"lora_name": name})


async def adapters(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in (await client.get("/v1/adapters")).json()["data"]}


async def ask(
    client: httpx.AsyncClient, model: str, tokens: int = 8, **more: Any
) -> httpx.Response:
    turns = [{"role": "user", "content": "What is a fuse?"}]
    common = {"temperature": 0, "ignore_eos": True, "max_tokens": tokens}
    return await client.post(CHAT, json={"model": model, "messages": turns} | common | more)


def text(answer: httpx.Response) -> str:
    return answer.raise_for_status().json()["choices"][0]["message"]["content"]


async def until_decoding(worker: Worker, count: int = 1) -> None:
    while sum(row.state == "decode" for row in worker.loaded.scheduler.running) < count:
        await worker.engine.run(lambda: None)


def test_load_use_list_unload(worker: Worker, folder: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = write_adapter(folder / "new", 7, 16)
        assert (await ask(client, "new")).status_code == 404
        loaded = await load(client, "new", path)
        assert loaded.text == "Success: LoRA adapter 'new' added successfully."
        listed = (await adapters(client))["new"]
        assert (listed["tier"], listed["rank"], listed["pinned"]) == ("slot", 16, False)
        assert listed["effect"] > 0.01
        answer = await ask(client, "new")
        assert answer.headers["x-ailiance-adapter"] == "new"
        assert answer.headers["x-ailiance-adapter-digest"] == listed["digest"]
        assert loaded.headers["x-ailiance-adapter-digest"] == listed["digest"]
        assert text(answer) != text(await ask(client, "apertus"))
        models = (await client.get("/v1/models")).json()["data"]
        assert "new" in [model["id"] for model in models]
        answer = await unload(client, "new")
        assert answer.text == "Success: LoRA adapter 'new' removed successfully."
        assert (await ask(client, "new")).status_code == 404
        assert "new" not in await adapters(client)

    worker.run(scenario)


def test_what_is_refused_changes_nothing(worker: Worker, folder: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        before = await adapters(client)
        idle = write_adapter(folder / "idle", 1, spread=0.0)
        broken = write_adapter(folder / "broken", 2)
        (broken / "adapters.safetensors").write_bytes(b"no tensors")
        for name, path, how, words in [
            ("r000", folder / "r001", {}, "already been loaded"),
            ("idle", idle, {}, "has no effect (max |delta logit| 0"),
            ("r000", idle, {"load_inplace": True}, "has no effect"),
            ("broken", broken, {}, "adapters.safetensors"),
            ("gone", folder / "gone", {}, "gone"),
            ("outside", Path("/etc"), {}, "outside"),
            ("apertus", folder / "r001", {}, "can't be an adapter's name"),
            ("No Name", folder / "r001", {}, "can't be an adapter's name"),
        ]:
            answer = await load(client, name, path, **how)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (400, "InvalidUserInput"), error
            assert words in error["message"]
        answer = await unload(client, "nobody")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (404, "NotFoundError")
        assert await adapters(client) == before

    worker.run(scenario)


def test_streams_go_on_with_their_version_when_it_is_replaced_or_unloaded(
    worker: Worker, folder: Path
) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        first, second = write_adapter(folder / "v1", 21), write_adapter(folder / "v2", 22)
        await load(client, "it", first)
        old = text(await ask(client, "it", 60))
        running = asyncio.create_task(ask(client, "it", 60))
        await until_decoding(worker)
        answer = await load(client, "it", second, load_inplace=True)
        assert answer.status_code == 200
        new = await ask(client, "it", 60)
        done = await running
        assert text(done) == old
        assert text(new) != old
        assert done.headers["x-ailiance-adapter-digest"] != new.headers["x-ailiance-adapter-digest"]
        running = asyncio.create_task(ask(client, "it", 60))
        await until_decoding(worker)
        await unload(client, "it")
        assert (await ask(client, "it")).status_code == 404
        assert text(await running) == text(new)
        # both versions had slots for a while, so that another had to leave
        assert await slots_taken(worker) < {"r000", "r001"}

    worker.run(scenario)


async def slots_taken(worker: Worker) -> set[str]:
    """Names of what is in slots, once all jobs are done."""
    loaded = worker.loaded
    held = await worker.engine.run(lambda: set(loaded.paging._table.held))
    named = {version.digest: name for name, version in loaded.resident.adapters.items()}
    return {named.get(digest, digest) for digest in held}


async def pinned(worker: Worker) -> set[str]:
    """Names of what keeps its slot, by the policy, once all jobs are done."""
    loaded = worker.loaded
    kept = await worker.engine.run(lambda: loaded.paging._table.pinned)
    return {name for name, one in loaded.resident.adapters.items() if one.digest in kept}


def test_a_pin_is_set_kept_and_taken_away(worker: Worker, folder: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = write_adapter(folder / "p1", 41)

        async def held(name: str = "p") -> tuple[bool, set[str]]:
            return (await adapters(client))[name]["pinned"], await pinned(worker)

        assert (await load(client, "p", path, pinned=True)).status_code == 200
        assert await held() == (True, {"p"})
        for number in range(4):  # of three slots, two are left for them
            name = f"q{number}"
            await load(client, name, write_adapter(folder / name, 42 + number))
            text(await ask(client, name))
            assert "p" in await slots_taken(worker)
        # vLLM's own request says nothing of it
        await load(client, "p", path, load_inplace=True)
        assert await held() == (True, {"p"})
        await load(client, "p", write_adapter(folder / "p2", 51), load_inplace=True)
        assert await held() == (True, {"p"})
        await load(client, "p", folder / "p2", load_inplace=True, pinned=False)
        assert await held() == (False, set())
        for number in range(4):
            text(await ask(client, f"q{number}"))
        assert "p" not in await slots_taken(worker)

    worker.run(scenario)


def test_one_content_keeps_its_slot_as_long_as_one_name_asks_for_that(
    worker: Worker, folder: Path
) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        path = write_adapter(folder / "both", 61)
        await load(client, "a", path, pinned=True)
        await load(client, "b", path, pinned=True)
        await load(client, "a", path, load_inplace=True, pinned=False)
        assert await pinned(worker) == {"a", "b"}
        await unload(client, "b")
        assert await pinned(worker) == set()
        assert "a" in await adapters(client)

    worker.run(scenario)


def test_a_download_is_in_nobodys_way(worker: Worker, folder: Path) -> None:
    hub = f"org/tiny@{'0' * 40}"

    async def scenario(client: httpx.AsyncClient) -> None:
        loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        sources: list[str] = []

        def download(name: str, source: str) -> Path:
            sources.append(source)
            loop.call_soon_threadsafe(begun.set)
            assert go_on.wait(60)
            raise SourceError(name, "the hub has no such thing")

        ours = Adapters(worker.engine, worker.loaded, Names(), download)
        slow = asyncio.create_task(ours.fetch(FetchRequest(lora_name="it", lora_path=hub)))
        await begun.wait()
        try:
            await ours.load(LoadRequest(lora_name="d", lora_path=str(folder / "r001")))
            text(await ask(client, "d"))
            assert not slow.done()
        finally:
            go_on.set()
        with pytest.raises(InvalidRequest, match="no such thing") as caught:
            await slow
        assert caught.value.param == "lora_path"
        assert set(await adapters(client)) == {"r000", "r001", "d"}
        # what lies on the disk needs no download
        body = {"lora_name": "it", "lora_path": str(folder / "nowhere")}
        assert (await client.post("/v1/fetch_lora_adapter", json=body)).status_code == 200
        assert sources == [hub]

    worker.run(scenario)


def test_others_tokens_are_the_same_while_adapters_come_and_go(
    worker: Worker, folder: Path
) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        paths = [write_adapter(folder / f"x{n}", 30 + n, (4, 16, 8)[n % 3]) for n in range(6)]
        models = ["apertus", "r000", "r001"]
        alone = [text(await ask(client, model, 150)) for model in models]
        running = [asyncio.create_task(ask(client, model, 150)) for model in models]
        await until_decoding(worker, 3)
        came = 0
        while not all(task.done() for task in running):
            name = f"x{came % 6}"
            assert (await load(client, name, paths[came % 6])).status_code == 200
            assert (await unload(client, name)).status_code == 200
            came += 1
        assert [text(await task) for task in running] == alone
        assert came > 2

    worker.run(scenario)


async def cycles(
    client: httpx.AsyncClient, worker: Worker, paths: Sequence[Path], count: int
) -> list[int]:
    """MLX's memory after each load, use and unload."""
    found: list[int] = []
    for number in range(count):
        name = f"c{number % len(paths)}"
        (await load(client, name, paths[number % len(paths)])).raise_for_status()
        # each at first: what it leaves in the prefix store is no leak
        if number < len(paths) or number % 10 == 0:
            text(await ask(client, name, 2))
        (await unload(client, name)).raise_for_status()
        found.append(await worker.engine.run(_memory))
    return found


def _memory() -> int:
    gc.collect()
    mx.clear_cache()
    return mx.get_active_memory()


async def stream_on(client: httpx.AsyncClient, model: str) -> None:
    while True:
        # the same each time: its stored prefix is one
        text(await ask(client, model, 40))


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.soak)])
def test_memory_is_level_while_streams_run(worker: Worker, folder: Path, count: int) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        paths = [write_adapter(folder / f"c{n}", 50 + n, (8, 16)[n % 2]) for n in range(4)]
        models = ("apertus", "r000", "r001")
        for model in models:
            text(await ask(client, model, 40))
        streams = [asyncio.create_task(stream_on(client, model)) for model in models]
        found = await cycles(client, worker, paths, count)
        assert not any(stream.done() for stream in streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        # medians of a third: keys and values of the streams come and go
        early, late = median(found[count // 6 : count // 2]), median(found[-count // 3 :])
        assert abs(late - early) <= 0.02 * early, (early, late, max(found))
        assert await slots_taken(worker) == {"r000", "r001"}

    worker.run(scenario, limit_s=60 + count)


def test_what_check_measures_is_measured_on_demand_while_others_answer(folder: Path) -> None:
    sources = {
        "power": ROOT / "demo/adapters/power",
        **write_adapters(folder / "checked", 1),
        "idle": write_adapter(folder / "checked" / "gone", 5),
    }
    wanted = check_base_of({"power": sources["power"]})

    async def scenario(client: httpx.AsyncClient) -> None:
        assert {one["check"] for one in (await adapters(client)).values()} == {None}
        alone = text(await ask(client, "power", 60))
        (folder / "checked" / "gone" / "adapters.safetensors").unlink()
        running = asyncio.create_task(ask(client, "power", 60))
        await until_decoding(worker)
        one = await client.post("/v1/adapters/check", json={"lora_names": ["power"]})
        checked = {o["name"] for o in one.raise_for_status().json()["data"] if o["check"]}
        assert checked == {"power"}
        answer = (await client.post("/v1/adapters/check", json={})).json()["data"]
        missing = await client.post("/v1/adapters/check", json={"lora_names": ["nobody"]})
        assert missing.status_code == 404
        assert text(await running) == alone
        assert answer == [*(await adapters(client)).values()]
        found = {one["name"]: one for one in answer}
        check = found["power"]["check"]
        assert (check["status"], check["loop"], check["examples"]) == ("ok", None, wanted.examples)
        assert check["perplexity"] == pytest.approx(wanted.perplexity, rel=1e-3)
        assert check["base_perplexity"] == pytest.approx(wanted.base_perplexity, rel=1e-3)
        assert tuple(found["power"]["targets"]) == wanted.targets
        assert found["power"]["effect"] == pytest.approx(wanted.effect, rel=1e-3)
        assert found["r000"]["check"]["perplexity"] is None
        assert found["idle"]["check"]["status"] == "refused"
        assert "gone" in found["idle"]["check"]["reason"]
        # a slot that rows use is nobody's to measure in
        assert await slots_taken(worker) == {"power", "r000", "idle"}

    with asyncio.Runner() as runner:
        worker = Worker(runner, random_fleet(sources, SLOTS))
        worker.run(scenario)
        worker.stop()


class Watched(Judge):
    """Has pieces, and counts them, until it may begin to measure."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.count = 0
        self.may_begin = False

    def judging(self, read: Verdict, examples: Sequence[Example], slot: int) -> Pieces[Verdict]:
        while not self.may_begin:
            self.count += 1
            yield
        return (yield from self._judge.judging(read, examples, slot))


def test_a_check_holds_up_no_other_job_for_long(folder: Path) -> None:
    """A load, and each embedding, waited for the end of a check, which may take minutes."""
    sources = {"power": ROOT / "demo/adapters/power", **write_adapters(folder / "beside", 1)}
    wanted = check_base_of({"power": sources["power"]})
    fleet = random_fleet(sources, 1).model_copy(update={"lora_roots": (str(folder),)})
    late = write_adapter(folder / "beside" / "late", 9)

    async def scenario(client: httpx.AsyncClient) -> None:
        judge = Watched(worker.loaded.judge)
        checks = Checks(worker.engine, replace(worker.loaded, judge=judge))
        checking = asyncio.create_task(checks.check(["power"]))
        while not judge.count:
            await worker.engine.run(lambda: None)
        before = judge.count
        await worker.engine.run(lambda: None)
        assert judge.count - before <= 2 * VISIT_PIECES
        # proved in the very slot of the check, as the other is taken
        assert (await load(client, "late", late)).status_code == 200
        judge.may_begin = True
        await checking
        found = checks.facts(worker.loaded.resident.registry.versions["power"])
        assert found is not None
        assert (found["status"], found["loop"]) == ("ok", None)
        assert found["perplexity"] == pytest.approx(wanted.perplexity, rel=1e-3)
        assert found["base_perplexity"] == pytest.approx(wanted.base_perplexity, rel=1e-3)

    with asyncio.Runner() as runner:
        worker = Worker(runner, fleet)
        worker.run(scenario, limit_s=30)
        worker.stop()


def check_base_of(adapters: dict[str, Path]) -> Verdict:
    """What ``ailiance check`` finds of one adapter of the embedded fleet."""
    fleet = load_fleet(ROOT / "adapters.yaml")
    (verdict,) = check_base(fleet, Wanted("apertus", adapters), lambda _: None)
    return verdict


def test_more_adapters_than_slots_come_at_run_time(worker: Worker, folder: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        names = [f"m{n}" for n in range(6)]
        alone: list[str] = []
        for number, name in enumerate(names):
            path = write_adapter(folder / name, 70 + number)
            await load(client, name, path)
            alone.append(text(await ask(client, name)))
        tiers = [one["tier"] for one in (await adapters(client)).values()]
        assert tiers.count("slot") == SLOTS
        answers = await asyncio.gather(*(ask(client, name) for name in names * 2))
        assert [text(answer) for answer in answers] == alone * 2

    worker.run(scenario)


def test_a_composition(worker: Worker) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        listed = await adapters(client)
        parts = [{"id": "r000", "scale": 0.5}, {"id": "r001", "scale": -1}]
        answer = await ask(client, "apertus", lora=parts)
        assert answer.headers["x-ailiance-adapter"] == "r000*0.5+r001*-1"
        body = answer.json()["ailiance"]
        assert body["adapter_digest"] == answer.headers["x-ailiance-adapter-digest"]
        assert body["adapters"] == [
            {"id": part["id"], "scale": part["scale"], "digest": listed[part["id"]]["digest"]}
            for part in parts
        ]
        one = await ask(client, "apertus", lora=[{"id": "r000"}, {"id": "r001", "scale": 0}])
        assert text(one) == text(await ask(client, "r000"))
        assert one.json()["ailiance"]["adapter"] == "r000"
        none = await ask(client, "apertus", lora=[{"id": "r001", "scale": 0}])
        assert text(none) == text(await ask(client, "apertus"))
        parts = [{"id": "r000"}]
        for model, wrong, param in [
            ("apertus", {"lora": [{"id": "nobody"}]}, "lora[0].id"),
            ("apertus", {"lora": parts * 2}, "lora"),
            ("apertus", {"lora": [{"id": "r000", "scale": 1e9}]}, "lora[0].scale"),
            ("apertus", {"lora": parts, "adapters": "r000"}, "lora"),
            ("r000", {"lora": parts}, "lora"),
        ]:
            refused = await ask(client, model, **wrong)
            assert refused.json()["error"]["param"] == param

    worker.run(scenario)


def test_the_engine_stops_while_an_adapter_is_read(worker: Worker, folder: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        stopped, reading = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold() -> None:
            loop.call_soon_threadsafe(reading.set)
            asyncio.run_coroutine_threadsafe(stopped.wait(), loop).result(30)

        # the loader does one job after another
        worker.loaded.loader.run(hold, lambda _: None)
        waiting = asyncio.create_task(load(client, "late", folder / "r001"))
        await reading.wait()
        await worker.engine.stop()
        stopped.set()
        answer = await waiting
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "worker_unavailable"
        assert "late" not in await adapters(client)

    worker.run(scenario)
