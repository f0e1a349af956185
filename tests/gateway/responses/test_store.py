"""Stored responses: ownership, chains, bounds, damage, privacy, several stores on one file."""

import asyncio
import sqlite3
import stat

import pytest

from gateway.responses.store import FILE, Bounds, Store, Stored
from wire.errors import AilianceError


def stored(name, previous=None, text="hello"):
    response = {"id": name, "previous_response_id": previous, "status": "completed", "output": []}
    return Stored(response, [{"type": "message", "text": text}])


class Clock:
    now = 1e9

    def __call__(self):
        self.now += 1
        return self.now


def run(test, *given, **options):
    async def body():
        store = Store(*given, **options)
        try:
            return await test(store)
        finally:
            await store.aclose()

    return asyncio.run(body())


@pytest.fixture(params=["file", "memory"])
def folder(request, tmp_path):
    return tmp_path / "state" if request.param == "file" else None


def test_keep_find_delete(folder):
    async def test(store):
        kept = store.keep("me", stored("a"))
        # found although the write was not awaited
        assert await store.find("me", "a") == stored("a")
        assert await kept
        assert await store.find("me", "b") is None
        assert await store.delete("me", "a")
        assert not await store.delete("me", "a")
        assert await store.find("me", "a") is None

    run(test, folder)


def test_another_credential_sees_nothing(folder):
    async def test(store):
        await store.keep("me", stored("a"))
        await store.keep("you", stored("b", previous="a"))
        assert await store.find("you", "a") is None
        assert not await store.delete("you", "a")
        assert [s.id for s in await store.chain("you", "b")] == ["b"]
        assert await store.chain("you", "a") == []
        assert await store.find("me", "a") is not None

    run(test, folder)


def test_a_chain_is_oldest_first(folder):
    async def test(store):
        for number in range(5):
            await store.keep("me", stored(f"r{number}", f"r{number - 1}" if number else None))
        assert [s.id for s in await store.chain("me", "r3")] == ["r0", "r1", "r2", "r3"]
        await store.delete("me", "r1")
        chain = await store.chain("me", "r3")
        assert [s.id for s in chain] == ["r2", "r3"]
        assert chain[0].previous_id == "r1"
        assert await store.chain("me", "x") == []

    run(test, folder)


def test_a_chain_that_bites_its_tail_ends(folder):
    async def test(store):
        await store.keep("me", stored("a", "b"))
        await store.keep("me", stored("b", "a"))
        assert len(await store.chain("me", "a")) == 7

    run(test, folder, Bounds(chain=7))


@pytest.mark.parametrize("bounds", [Bounds(chain=3), Bounds(chain_bytes=1000)])
def test_a_chain_is_bounded(folder, bounds):
    async def test(store):
        for number in range(9):
            previous = f"r{number - 1}" if number else None
            await store.keep("me", stored(f"r{number}", previous, "x" * 200))
        chain = await store.chain("me", "r8")
        assert len(chain) == 3
        assert chain[0].previous_id is not None

    run(test, folder, bounds)


def test_the_longest_unused_go_first(folder):
    async def test(store):
        for name in "abc":
            await store.keep("me", stored(name))
        await store.chain("me", "a")
        await store.keep("me", stored("d"))
        return [name for name in "abcd" if await store.find("me", name)]

    assert run(test, folder, Bounds(count=3), Clock()) == ["a", "c", "d"]


def test_bytes_are_bounded_and_the_file_with_them(tmp_path):
    async def test(store):
        for number in range(200):
            assert await store.keep("me", stored(f"r{number}", text="x" * 10_000))
        assert await store.find("me", "r199")
        assert not await store.find("me", "r150")
        # what is larger than everything together is not kept
        await store.keep("me", stored("huge", text="x" * 500_000))
        assert not await store.find("me", "huge")

    run(test, tmp_path, Bounds(total_bytes=200_000), Clock())
    assert (tmp_path / FILE).stat().st_size < 800_000


def test_a_full_store_is_not_read_whole_for_each_write(tmp_path):
    """A write to a store of 10,000 took 29 ms: every row was sorted and counted."""
    steps = []

    async def test(store):
        for number in range(3000):
            store.keep("me", stored(f"r{number}"))

        def count(db):
            db.set_progress_handler(lambda: steps.append(1) and None, 1000)

        await store._run(count)
        for number in range(10):
            assert await store.keep("me", stored(f"s{number}"))
        assert await store.find("me", "r10")
        assert not await store.find("me", "r9")

    run(test, tmp_path, Bounds(count=3000), Clock())
    # thousands of SQLite's instructions: the count alone reads the index, about 5 a row
    assert len(steps) < 10 * 3 * 10


def test_age(tmp_path):
    clock = Clock()
    day_s = 24 * 3600

    async def test(store):
        await store.keep("me", stored("a"))
        clock.now += 31 * day_s
        await store.keep("me", stored("b"))
        assert await store.find("me", "a") is None

    run(test, tmp_path, None, clock)
    clock.now += 31 * day_s

    async def later(store):
        assert await store.find("me", "b") is None

    run(later, tmp_path, None, clock)


def test_files_are_private_and_what_is_deleted_is_gone(tmp_path):
    folder = tmp_path / "state"

    async def test(store):
        await store.keep("me", stored("a", text="a secret of mine"))
        for file in folder.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert any(b"secret" in f.read_bytes() for f in folder.iterdir())
        await store.delete("me", "a")
        assert not any(b"secret" in f.read_bytes() for f in folder.iterdir())

    run(test, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_outlives_its_process(tmp_path):
    async def keep(store):
        await store.keep("me", stored("a"))

    async def find(store):
        return await store.find("me", "a")

    run(keep, tmp_path)
    assert run(find, tmp_path) == stored("a")


@pytest.mark.parametrize("damage", ["garbage", "version"])
def test_a_file_that_cannot_be_read_is_moved_aside(tmp_path, damage, caplog):
    file = tmp_path / FILE
    if damage == "garbage":
        file.write_bytes(b"not a database" * 1000)
    else:
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()

    async def test(store):
        assert await store.keep("me", stored("a"))
        assert await store.find("me", "a")

    run(test, tmp_path)
    assert file.with_name(FILE + ".damaged").exists()
    assert "moved to" in caplog.text


def test_damage_while_it_runs(tmp_path, caplog):
    async def fill(store):
        for number in range(50):
            await store.keep("me", stored(f"r{number}", text="x" * 4000))

    run(fill, tmp_path)
    file = tmp_path / FILE
    raw = bytearray(file.read_bytes())
    raw[4096:] = b"\xa5" * (len(raw) - 4096)

    async def test(store):
        await store.find("me", "none")
        file.write_bytes(raw)
        for number in range(50):
            assert await store.keep("me", stored(f"n{number}", text="y" * 4000))
        assert await store.find("me", "n49")

    run(test, tmp_path)
    assert "moved to" in caplog.text
    assert "xxx" not in caplog.text


def test_a_folder_that_cannot_be_made(tmp_path, caplog):
    (tmp_path / "file").touch()

    async def test(store):
        assert await store.keep("me", stored("a"))
        assert await store.find("me", "a")

    run(test, tmp_path / "file" / "state")
    assert "in memory only" in caplog.text


def test_two_gateways_share_a_file(tmp_path):
    async def test(one):
        two = Store(tmp_path)
        try:
            writes = [(one, two)[n % 2].keep("me", stored(f"r{n}")) for n in range(100)]
            assert all(await asyncio.gather(*writes))
            found = [await (two, one)[n % 2].find("me", f"r{n}") for n in range(100)]
            assert all(found)
        finally:
            await two.aclose()

    run(test, tmp_path)


def test_a_lock_that_stays_is_an_error_of_ours(tmp_path, caplog):
    async def test(store):
        await store.find("me", "a")
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            assert not await store.keep("me", stored("a"))
            with pytest.raises(AilianceError, match="just now"):
                await store.delete("me", "a")
        finally:
            other.close()

    run(test, tmp_path, busy_s=0.01)
    assert "SQLITE_BUSY" in caplog.text


def test_a_conversation_is_read_while_nothing_can_be_written(tmp_path, caplog):
    async def test(store):
        await store.keep("me", stored("a"))
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert [s.id for s in await store.chain("me", "a")] == ["a"]
        finally:
            other.close()

    run(test, tmp_path, busy_s=0.01)
    assert "not noted: SQLITE_BUSY" in caplog.text


def test_after_its_end(tmp_path):
    async def test(store):
        await store.aclose()
        assert not await store.keep("me", stored("a"))
        with pytest.raises(AilianceError, match="stops"):
            await store.find("me", "a")

    async def body():
        await test(Store(tmp_path))

    asyncio.run(body())
