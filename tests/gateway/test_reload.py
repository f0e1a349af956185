"""New weights and an edited fleet file are taken while the gateway runs, or refused whole."""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from fleet.load import load_fleet
from gateway.admin.administration import Administration
from gateway.admin.requests import parse_load
from gateway.reload import stamps_of, watch
from gateway.routers import load_router
from gateway.service import Gateway
from gateway.upstream import Upstream
from router import DEFAULT_WEIGHTS
from router.files import weights_path
from tests.gateway.fake_worker import Fake
from tests.gateway.harness import Servers
from wire.errors import WorkerUnavailable

POLL_S = 0.01

FILE = {
    "version": 1,
    "bases": {"big": {"engine": "openai", "url": "http://127.0.0.1:1", "model": "org/Big"}},
    "adapters": {"amp": {"base": "big", "source": "amp"}},
    "domains": {"emc": {"description": "emc"}},
}


def write(path: Path, content: object) -> None:
    """Whole at once, as an editor does, with a time of its own."""
    partial = path.with_suffix(".new")
    partial.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    partial.replace(path)


class Watched:
    """A gateway without workers whose files are watched."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "adapters.yaml"
        write(self.config, FILE)
        fleet = load_fleet(self.config)
        self.stamps = stamps_of(self.config, fleet)
        self.gateway = Gateway(fleet, load_router(fleet), {})
        self.admin = Administration(self.gateway, grace_s=0)
        self.lines: list[str] = []

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """While the test runs; here there is no worker to serve."""
        yield

    async def until(self, holds) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 (files have no event)
                await asyncio.sleep(POLL_S)

    def run(self, test) -> None:
        async def body() -> None:
            async with self.served():
                await watched(test)

        async def watched(test) -> None:
            watching = asyncio.create_task(watch(self.admin, self.config, self.stamps, POLL_S))
            await asyncio.sleep(2 * POLL_S)
            try:
                await test()
            finally:
                watching.cancel()

        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())
        log = logging.getLogger("gateway.reload")
        log.addHandler(handler)
        before = log.level
        log.setLevel(logging.INFO)
        try:
            asyncio.run(body())
        finally:
            log.removeHandler(handler)
            log.setLevel(before)


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


def test_weights_that_appear_beside_the_file_are_taken(watched):
    old = watched.gateway.router

    async def test():
        shutil.copy(DEFAULT_WEIGHTS, watched.config.parent / "router.npz")
        await watched.until(lambda: watched.gateway.router is not old)
        assert weights_path(watched.gateway.fleet).name == "router.npz"

    watched.run(test)
    assert any("router weights taken" in line for line in watched.lines)


def test_broken_weights_are_refused_and_the_old_ones_stay(watched):
    old = watched.gateway.router

    async def test():
        (watched.config.parent / "router.npz").write_bytes(b"junk")
        await watched.until(lambda: watched.lines)

    watched.run(test)
    assert "not taken" in watched.lines[0]
    assert "ailiance router fit" in watched.lines[0]
    assert watched.gateway.router is old


def test_damaged_weights_are_refused_and_watching_goes_on(watched):
    path = watched.config.parent / "router.npz"
    whole = DEFAULT_WEIGHTS.read_bytes()
    old = watched.gateway.router

    async def test():
        for count, at in enumerate(range(200_000, 800_000, 150_000), 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
            await watched.until(lambda count=count: len(watched.lines) >= count)
        path.write_bytes(whole)
        await watched.until(lambda: watched.gateway.router is not old)

    watched.run(test)
    assert all("not taken" in line for line in watched.lines[:4])


def test_watching_goes_on_after_a_fault_that_nobody_foresaw(watched):
    use_fleet = watched.gateway.use_fleet

    def broken(_fleet):
        raise RuntimeError

    async def test():
        watched.gateway.use_fleet = broken
        write(watched.config, FILE | {"aliases": {"one": "ailiance"}})
        await watched.until(lambda: watched.lines)
        watched.gateway.use_fleet = use_fleet
        write(watched.config, FILE | {"aliases": {"two": "ailiance"}})
        await watched.until(lambda: "two" in watched.gateway.known_names)

    watched.run(test)
    assert watched.lines[0] == "files not taken: RuntimeError"


def test_an_encoder_that_is_named_later_is_looked_at(watched):
    async def test():
        write(watched.config, FILE | {"router": {"encoder": "nowhere"}})
        await watched.until(lambda: any("router weights" in line for line in watched.lines))

    watched.run(test)
    assert watched.gateway.fleet.encoder_source is not None


def test_new_domains_and_aliases_are_taken(watched):
    async def test():
        changed = FILE | {
            "adapters": {"amp": {"base": "big", "source": "amp", "domain": "law"}},
            "domains": {"law": {"description": "law"}},
            "aliases": {"gpt-4o": "ailiance"},
        }
        write(watched.config, changed)
        await watched.until(lambda: "law" in watched.gateway.fleet.domains)

    watched.run(test)
    assert "gpt-4o" in watched.gateway.known_names
    assert watched.gateway.names.target("gpt-4o") is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("version: 1\nbases: [\n", "not valid YAML"),
        (FILE | {"prefix": "other"}, "prefix changed; restart"),
        (FILE | {"lora_roots": ["/"]}, "lora_roots changed; restart"),
        (FILE | {"bases": FILE["bases"] | {"more": {"model": "."}}}, "bases changed; restart"),
        (FILE | {"domains": {"x": {"description": "x", "examples": "a" * 5000}}}, "correct"),
        (FILE | {"domains": {"x": {"description": "x", "examples": "~nobody-here/x"}}}, "correct"),
        (FILE | {"router": "~nobody-here/x"}, "can't be a path"),
    ],
)
def test_what_cannot_be_served_is_refused_whole(watched, content, said):
    old = watched.gateway.fleet

    async def test():
        write(watched.config, content)
        await watched.until(lambda: watched.lines)

    watched.run(test)
    assert said in watched.lines[0]
    assert watched.gateway.fleet is old


def test_a_file_that_is_gone_for_a_while_changes_nothing(watched):
    async def test():
        os.rename(watched.config, watched.config.with_name("away"))
        await watched.until(lambda: watched.lines)

    watched.run(test)
    assert "no such file" in watched.lines[0]
    assert "amp" in watched.gateway.fleet.adapters


LORAS = {
    "version": 1,
    "bases": {"one": {"model": "model"}, "two": {"model": "model"}},
    "adapters": {
        "amp": {"base": "one", "source": "amp"},
        "law": {"base": "two", "source": "law"},
    },
    "domains": {"emc": {"description": "emc"}},
}


def with_adapters(**adapters):
    """The file with those adapters added, changed, or, where None, removed."""
    wanted = LORAS["adapters"] | {
        name: None if to is None else dict(zip(("base", "source"), to, strict=True))
        for name, to in adapters.items()
    }
    return LORAS | {"adapters": {name: to for name, to in wanted.items() if to is not None}}


class Loaded(Watched):
    """The same with two fake workers; ``missing`` are those that restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("model", "amp", "law", "new", "bad", "mine"):
            (folder / name).mkdir()
        self.config = folder / "adapters.yaml"
        write(self.config, LORAS)
        fleet = load_fleet(self.config)
        self.stamps = stamps_of(self.config, fleet)
        self.workers = {base: Fake(base) for base in fleet.bases}
        self.missing: set[str] = set()
        for base, worker in self.workers.items():
            worker.adapters = {n: self.at(n) for n in fleet.adapters_of(base)}
        self.gateway = Gateway(fleet, load_router(fleet), {})
        self.admin = Administration(self.gateway, grace_s=0)
        self.lines: list[str] = []

    def at(self, name: str) -> str:
        return str(self.folder / name)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        servers = Servers()
        for base, worker in self.workers.items():
            uds = self.folder / f"{base}.sock"
            servers.start(worker.app(), uds)
            self.gateway.upstreams[base] = Upstream(
                base, uds=str(uds), unavailable=lambda base=base: self._unavailable(base)
            )
        try:
            yield
        finally:
            await self.gateway.aclose()
            await servers.stop()

    def _unavailable(self, base: str) -> WorkerUnavailable | None:
        return WorkerUnavailable(f"{base} is restarting") if base in self.missing else None

    @property
    def held(self) -> dict[str, dict[str, str]]:
        return {base: dict(worker.adapters) for base, worker in self.workers.items()}


@pytest.fixture
def loaded(tmp_path):
    return Loaded(tmp_path)


def test_an_adapter_that_is_added_is_loaded_and_served(loaded):
    async def test():
        write(loaded.config, with_adapters(new=("one", "new")))
        await loaded.until(lambda: "ailiance-one-new" in loaded.gateway.known_names)

    loaded.run(test)
    assert loaded.workers["one"].changes == [("load", "new", loaded.at("new"))]
    assert loaded.workers["two"].changes == []
    assert loaded.lines == ["fleet file taken: 1 adapters loaded, 1 domains, 0 aliases"]


def test_a_changed_source_is_replaced_and_what_is_removed_is_unloaded(loaded):
    async def test():
        write(loaded.config, with_adapters(amp=("one", "new"), law=None))
        await loaded.until(lambda: loaded.lines)

    loaded.run(test)
    assert loaded.held == {"one": {"amp": loaded.at("new")}, "two": {}}
    assert "1 adapters replaced, 1 adapters unloaded" in loaded.lines[0]
    assert "law" not in loaded.gateway.fleet.adapters


def test_an_adapter_that_moves_is_loaded_there_before_it_is_unloaded_here(loaded):
    async def test():
        write(loaded.config, with_adapters(amp=("two", "amp")))
        await loaded.until(lambda: loaded.lines)

    loaded.run(test)
    assert loaded.held == {"one": {}, "two": {"law": loaded.at("law"), "amp": loaded.at("amp")}}


def test_one_refused_adapter_refuses_the_file_and_undoes_the_rest(loaded):
    before = loaded.held

    async def test():
        write(
            loaded.config,
            with_adapters(amp=("one", "new"), law=None, new=("two", "new"), x=("one", "bad")),
        )
        await loaded.until(lambda: loaded.lines)

    loaded.run(test)
    assert loaded.lines == ["fleet file not taken: adapter 'x': rank 8 is not 16"]
    assert loaded.held == before
    assert set(loaded.gateway.fleet.adapters) == {"amp", "law"}
    assert loaded.workers["one"].changes[-1] == ("load", "amp", loaded.at("amp"))


@pytest.mark.parametrize("adapter", ["amp", "new"])
def test_a_folder_that_workers_trust_at_their_start_only_needs_a_restart(loaded, adapter):
    (loaded.folder / "amp").rmdir()
    (loaded.folder / "amp").symlink_to("/etc")

    async def test():
        sources = {"amp": {"amp": ("one", "new")}, "new": {"new": ("two", "amp")}}
        write(loaded.config, with_adapters(**sources[adapter]))
        await loaded.until(lambda: loaded.lines)

    loaded.run(test)
    assert f"adapter '{adapter}': the path is outside" in loaded.lines[0]
    assert loaded.lines[0].endswith("or restart to serve it")
    assert all(worker.changes == [] for worker in loaded.workers.values())


def test_a_file_waits_for_a_worker_that_restarts_and_says_so_once(loaded):
    async def test():
        loaded.missing.add("two")
        write(loaded.config, with_adapters(fresh=("one", "new"), more=("two", "new")))
        # loaded and undone at each try
        await loaded.until(lambda: len(loaded.workers["one"].changes) >= 6)
        assert loaded.held["one"].keys() <= {"amp", "fresh"}
        assert "fresh" not in loaded.gateway.fleet.adapters
        loaded.missing.clear()
        await loaded.until(lambda: "more" in loaded.gateway.fleet.adapters)

    loaded.run(test)
    assert loaded.lines[0] == "fleet file waits: two is restarting"
    assert loaded.lines[1].startswith("fleet file taken: 2 adapters loaded")
    assert len(loaded.lines) == 2


def test_a_worker_that_is_known_to_restart_is_not_asked(loaded):
    async def test():
        loaded.gateway.phases["two"] = "restarting"
        write(loaded.config, with_adapters(fresh=("one", "new"), more=("two", "new")))
        await loaded.until(lambda: loaded.lines)
        assert loaded.workers["one"].changes == []
        loaded.gateway.phases["two"] = "ready"
        await loaded.until(lambda: "more" in loaded.gateway.fleet.adapters)

    loaded.run(test)
    assert loaded.lines[0] == "fleet file waits: the worker of base 'two' is restarting"


def test_a_name_that_the_file_takes_over_is_the_files(loaded):
    async def test():
        await loaded.admin.load(parse_load(b'{"lora_name":"x","lora_path":"mine","base":"one"}'))
        write(loaded.config, with_adapters(x=("two", "new")))
        await loaded.until(lambda: loaded.lines)
        assert loaded.held["one"] == {"amp": loaded.at("amp")}
        assert loaded.held["two"]["x"] == loaded.at("new")
        write(loaded.config, LORAS)
        await loaded.until(lambda: len(loaded.lines) == 2)

    loaded.run(test)
    assert "x" not in loaded.gateway.fleet.adapters
    assert not loaded.admin.loaded


def test_run_time_adapters_outlast_an_edit(loaded):
    async def test():
        body = b'{"lora_name":"x","lora_path":"mine","base":"one","domain":"emc"}'
        await loaded.admin.load(parse_load(body))
        changed = with_adapters(law=None)
        changed["domains"] = {"law": {"description": "law"}}
        write(loaded.config, changed)
        await loaded.until(lambda: loaded.lines)

    loaded.run(test)
    # its domain is gone, so it is reached by name only
    assert loaded.gateway.fleet.adapters["x"].domain is None
    assert loaded.workers["one"].adapters["x"] == loaded.at("mine")
