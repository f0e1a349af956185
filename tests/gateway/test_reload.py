"""New weights and new routing are taken while the gateway runs; what can't be is refused."""

import asyncio
import logging
import os
import shutil
from pathlib import Path

import pytest
import yaml

from fleet.load import load_fleet
from gateway.reload import refusal, stamps_of, watch
from gateway.routers import load_router
from gateway.service import Gateway
from router import DEFAULT_WEIGHTS
from router.files import weights_path
from tests.gateway.harness import FLEET, make_fleet

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
        self.lines: list[str] = []

    async def until(self, holds) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 (files have no event)
                await asyncio.sleep(POLL_S)

    def run(self, test) -> None:
        async def body() -> None:
            watching = asyncio.create_task(watch(self.gateway, self.config, self.stamps, POLL_S))
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
        (FILE | {"adapters": {"amp": {"base": "big", "source": "amp-2"}}}, "adapters changed"),
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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aliases": {}}, None),
        ({"domains": FLEET["domains"] | {"x": {"description": "x"}}}, None),
        ({"bases": FLEET["bases"] | {"new": {"model": "m"}}}, "bases changed"),
        ({"prefix": "p", "bases": FLEET["bases"] | {"n": {"model": "m"}}}, "bases and prefix"),
    ],
)
def test_what_needs_a_restart(change, reason):
    found = refusal(make_fleet(), make_fleet(**change))
    assert found is None if reason is None else found is not None and found.startswith(reason)
