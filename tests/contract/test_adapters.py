"""Adapters of a real gateway with a real worker: loaded, replaced, unloaded, kept, edited."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
import yaml

from tests.contract.processes import HOME, GatewayProcess, endless_fleet, wait_for
from tests.worker.hub import COMMIT, Repository, _settings, hub_of

DSP, EMC = (HOME / "demo" / "adapters" / name for name in ("dsp", "emc"))
PYTHON = HOME / "demo" / "adapters" / "python"  # of another base


class Site:
    """A folder with a fleet of one base, in which adapters may lie, and its gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet = endless_fleet(folder, apertus=8)
        for name, source in {"one": DSP, "two": EMC, "wrong": PYTHON}.items():
            shutil.copytree(source, folder / name)

    @contextmanager
    def running(self) -> Iterator["Running"]:
        process = GatewayProcess(self.folder, self.fleet)
        try:
            with httpx.Client(base_url=process.url, timeout=120) as client:
                yield Running(process, client)
            process.stop_checked()
        finally:
            process.end()

    def edit(self, **adapters: dict[str, Any] | None) -> None:
        content = yaml.safe_load(self.fleet.read_text("utf-8"))
        wanted = content["adapters"] | adapters
        content["adapters"] = {n: a for n, a in wanted.items() if a is not None}
        partial = self.fleet.with_suffix(".new")
        partial.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        partial.replace(self.fleet)


class Running:
    def __init__(self, process: GatewayProcess, client: httpx.Client) -> None:
        self.process = process
        self.client = client

    def load(self, path: str, **fields: Any) -> httpx.Response:
        body = {"lora_name": "mine", "lora_path": path} | fields
        return self.client.post("/v1/load_lora_adapter", json=body)

    def unload(self, name: str = "mine") -> httpx.Response:
        return self.client.post("/v1/unload_lora_adapter", json={"lora_name": name})

    def ask(self, model: str = "mine") -> httpx.Response:
        body = {"model": model, "prompt": "A filter", "max_tokens": 8, "temperature": 0}
        return self.client.post("/v1/completions", json=body)

    def listed(self, name: str) -> dict[str, Any]:
        listed = self.client.get("/v1/adapters").json()["data"]
        return next(each for each in listed if each["name"] == name)

    def digest(self, name: str) -> str:
        return self.listed(name)["digest"]

    def warning(self, name: str) -> str:
        return self.ask(name).headers.get("x-ailiance-warning", "")

    def names(self) -> set[str]:
        return {each["id"] for each in self.client.get("/v1/models").json()["data"]}

    def stream(self, model: str, began: list[int]) -> tuple[str, str, bool]:
        """Digest, text, and whether it came to its end."""
        body = {"model": model, "prompt": "A filter", "max_tokens": 200, "stream": True}
        with self.client.stream("POST", "/v1/completions", json=body | {"temperature": 0}) as got:
            assert got.status_code == 200, got.read()
            text, done = "", False
            for line in got.iter_lines():
                if line == "data: [DONE]":
                    done = True
                elif line.startswith("data: {"):
                    began.append(1)
                    choices = json.loads(line.removeprefix("data: ")).get("choices", [])
                    text += "".join(choice["text"] for choice in choices)
            return got.headers["x-ailiance-adapter-digest"], text, done


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_an_adapters_life_while_streams_run(site):
    with site.running() as gateway, ThreadPoolExecutor(8) as threads:
        others: list[int] = []
        steady = [threads.submit(gateway.stream, "electronics", others) for _ in range(2)]
        wait_for(lambda: others)
        assert gateway.load("one").text == "Success: LoRA adapter 'mine' added successfully."
        assert gateway.digest("mine") == gateway.digest("dsp")
        assert gateway.ask().json()["choices"] == gateway.ask("dsp").json()["choices"]

        alone = gateway.stream("mine", [])
        began: list[int] = []
        under_way = threads.submit(gateway.stream, "mine", began)
        wait_for(lambda: began)
        assert gateway.load("two", load_inplace=True).status_code == 200
        assert gateway.ask().headers["x-ailiance-adapter-digest"] == gateway.digest("emc")
        assert gateway.ask().json()["choices"] == gateway.ask("emc").json()["choices"]
        # what was under way ended on the version that it began with
        assert under_way.result(60) == alone
        assert alone[0] == gateway.digest("dsp")

        began = []
        under_way = threads.submit(gateway.stream, "mine", began)
        wait_for(lambda: began)
        assert gateway.unload().text == "Success: LoRA adapter 'mine' removed successfully."
        assert under_way.result(60)[2]
        assert gateway.ask().status_code == 404
        assert gateway.ask("apertus:mine").json()["error"]["code"] == "model_not_found"
        assert all(each.result(60)[2] for each in steady)


def test_what_the_worker_proves_wrong_is_refused_with_the_numbers(site):
    with site.running() as gateway:
        answer = gateway.load("wrong")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "InvalidUserInput")
        assert "of 42" in error["message"]
        answer = gateway.load(str(DSP))
        assert answer.status_code == 400
        assert "lora_roots" in answer.json()["error"]["message"]
        assert "ailiance-apertus-mine" not in gateway.names()


def measured(digest: str, source: str, **fields: Any) -> dict[str, Any]:
    """An adapter with a good result of that version."""
    result = {"benchmark": "x", "base": 0, "adapter": 1, "date": "2026-11-20", "source": "x"}
    evidence = {"evaluation": [result | {"digest": digest}], "serve_if": "x >= base"}
    return {"base": "apertus", "source": source} | evidence | fields


def test_it_outlives_a_killed_worker_and_a_restarted_gateway(site):
    with site.running() as gateway:
        assert gateway.load("one").status_code == 200
        before = gateway.ask()
        assert before.status_code == 200
        os.kill(gateway.process.workers()["apertus"], signal.SIGKILL)
        wait_for(lambda: gateway.client.get("/health").status_code == 503)
        wait_for(lambda: gateway.client.get("/health").status_code == 200, 60)
        after = gateway.ask()
        assert after.json()["choices"] == before.json()["choices"]
    site.edit(added=measured("0" * 64, "two"))
    with site.running() as gateway:
        # which version is served is known from the start on
        assert "is of another version" in gateway.warning("added")
        body = {"model": "ailiance-apertus", "prompt": "A filter", "max_tokens": 2}
        answer = gateway.client.post("/v1/completions", json=body | {"lora": [{"id": "added"}]})
        assert answer.headers["x-ailiance-warning"].startswith("added: evidence: x: the result")
        assert "ailiance-apertus-mine" in gateway.names()
        assert gateway.ask().json()["choices"] == before.json()["choices"]
        assert gateway.unload().status_code == 200
    with site.running() as gateway:
        assert "ailiance-apertus-mine" not in gateway.names()


class Held(dict[str, bytes]):
    """Files of a hub that sends none of them yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__({file.name: file.read_bytes() for file in folder.iterdir()})
        self.asked, self.go_on = Event(), Event()

    def __getitem__(self, name: str) -> bytes:
        self.asked.set()
        assert self.go_on.wait(60)
        return super().__getitem__(name)


def test_a_slow_download_is_in_nobodys_way(site, monkeypatch):
    files = Held(EMC)
    with hub_of(Repository(files)) as port, ThreadPoolExecutor(1) as threads:
        for key, value in _settings(port, site.folder / "hub").items():
            monkeypatch.setenv(key, value)
        with site.running() as gateway:
            slow = threads.submit(gateway.load, f"org/tiny@{COMMIT}", lora_name="slow")
            try:
                assert files.asked.wait(60)
                assert gateway.load("one").status_code == 200
                assert gateway.ask().status_code == 200
                site.edit(added={"base": "apertus", "source": "one"}, math=None)
                wait_for(lambda: "ailiance-apertus-added" in gateway.names())
                assert gateway.unload().status_code == 200
                assert not slow.done()
            finally:
                files.go_on.set()
            assert slow.result(60).status_code == 200
            assert gateway.digest("slow") == gateway.digest("emc")
            assert gateway.ask("slow").json()["choices"] == gateway.ask("emc").json()["choices"]


def test_an_edited_file_is_taken_whole_or_not_at_all(site):
    def held(gateway: Running) -> dict[str, Any]:
        listed = gateway.client.get("/v1/adapters").json()["data"]
        return {each["name"]: (each["state"], each["digest"]) for each in listed}

    with site.running() as gateway:
        dsp = gateway.digest("dsp")
        site.edit(added=measured(dsp, "one", pinned=True), math=None)
        wait_for(lambda: "ailiance-apertus-added" in gateway.names())
        wait_for(lambda: gateway.ask("ailiance-apertus-math").status_code == 404)
        assert gateway.ask("added").json()["choices"] == gateway.ask("dsp").json()["choices"]
        assert gateway.listed("added")["pinned"]
        assert gateway.warning("added") == ""

        site.edit(added=measured(dsp, "two"))
        wait_for(lambda: gateway.digest("added") == gateway.digest("emc"))
        wait_for(lambda: "is of another version" in gateway.warning("added"))
        assert not gateway.listed("added")["pinned"]

        before = held(gateway)
        site.edit(
            fine={"base": "apertus", "source": "one"},
            broken={"base": "apertus", "source": "wrong"},
        )
        log = gateway.process.log_text
        wait_for(lambda: "fleet file not taken: adapter 'broken'" in log())
        assert held(gateway) == before
        assert set(before.values()) >= {("loaded", gateway.digest("emc"))}
