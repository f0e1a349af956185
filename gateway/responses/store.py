"""Stored responses, in SQLite: one file, one thread that owns its connection.

The thread takes its work in order, so what was given to ``keep`` is found by any later call.
Bounded in count, bytes and age; the longest unused goes first. A response belongs to the
credential it was made with. A damaged file is moved aside; where none can be opened, responses
are kept in memory. Prompts never reach the log.
"""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, TypeVar

from gateway.responses import rows
from wire.errors import AilianceError

log = logging.getLogger("gateway.responses")
T = TypeVar("T")

FILE = "responses.sqlite"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Bounds:
    """``chain``: how many responses one conversation may be made of."""

    count: int = 10_000
    total_bytes: int = 256 << 20
    age_s: float = 30 * 24 * 3600.0
    chain: int = 1000
    chain_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A response as it ended, and the items of its request."""

    response: dict[str, Any]
    items: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return str(self.response["id"])

    @property
    def previous_id(self) -> str | None:
        return self.response["previous_response_id"]


class Store:
    """``folder`` None keeps everything in memory. ``clock``: seconds since 1970.

    ``busy_s``: the longest wait for another process that writes.
    """

    def __init__(
        self,
        folder: Path | None,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time,
        busy_s: float = rows.BUSY_S,
    ) -> None:
        self.bounds = bounds or Bounds()
        self._file = folder / FILE if folder is not None else None
        self._clock = clock
        self._busy_s = busy_s
        self._db: sqlite3.Connection | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="responses")
        # opened now, so that a fault is told at the start and not at the first request
        self._thread.submit(self._open)

    def keep(self, owner: str, stored: Stored) -> "asyncio.Future[bool]":
        """Begin to write a response; the result says whether it was. Never raises."""
        loop = asyncio.get_running_loop()
        if self._closed:
            too_late: asyncio.Future[bool] = loop.create_future()
            too_late.set_result(False)
            return too_late
        return loop.run_in_executor(self._thread, self._keep, owner, stored)

    async def find(self, owner: str, response_id: str) -> Stored | None:
        found = await self._run(lambda db: rows.find(db, owner, response_id))
        return _stored(found) if found else None

    async def chain(self, owner: str, response_id: str) -> list[Stored]:
        """The response and those it goes on from, oldest first; empty if it is unknown.

        The first has no ``previous_id``, unless one has gone or there are too many.
        """

        def read(db: sqlite3.Connection) -> list[Stored]:
            found = rows.chain(db, owner, response_id, self.bounds.chain, self.bounds.chain_bytes)
            try:
                rows.touch(db, [row[0] for row in found], self._clock())
                db.commit()
            except sqlite3.OperationalError as error:
                # a full disk, a lock: what was read is true nevertheless
                db.rollback()
                log.warning("the use of stored responses is not noted: %s", _name(error))
            return [_stored(row) for row in reversed(found)]

        return await self._run(read)

    async def delete(self, owner: str, response_id: str) -> bool:
        return await self._run(lambda db: rows.delete(db, owner, response_id))

    async def aclose(self) -> None:
        """What was given to ``keep`` is written before the file is closed."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise AilianceError("stored responses can't be reached: the gateway stops")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._work, work)
        except sqlite3.Error as error:
            log.error("stored responses: %s", _name(error))
            raise AilianceError("stored responses can't be reached just now") from None

    def _keep(self, owner: str, stored: Stored) -> bool:
        row = (stored.id, owner, stored.previous_id, _json(stored.response), _json(stored.items))
        try:
            self._work(lambda db: rows.insert(db, row, self._clock(), self.bounds))
        except sqlite3.Error as error:
            log.error("a response could not be stored: %s", _name(error))
            return False
        return True

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        assert self._db is not None
        try:
            with self._db:
                return work(self._db)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error) or self._file is None:
                raise
            self._set_aside(self._file)
        with self._db:
            return work(self._db)

    def _open(self) -> None:
        if self._file is None:
            self._db = rows.connect(":memory:")
            return
        try:
            self._db = _open_file(self._file, self._busy_s)
            with self._db:
                rows.expire(self._db, self._clock() - self.bounds.age_s)
        except rows.OtherVersion:
            self._set_aside(self._file)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                self._use_memory(_name(error))
                return
            self._set_aside(self._file)
        except OSError as error:
            self._use_memory(error.strerror or type(error).__name__)

    def _set_aside(self, file: Path) -> None:
        """One damaged file is kept for whoever wants to look; the next replaces it."""
        self._close()
        aside = file.with_name(file.name + ".damaged")
        log.warning("%s can't be read as stored responses; moved to %s", file, aside)
        try:
            file.replace(aside)
            for suffix in ("-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            self._db = _open_file(file, self._busy_s)
        except (OSError, sqlite3.Error) as error:
            self._use_memory(type(error).__name__)

    def _use_memory(self, reason: str) -> None:
        log.warning("responses are stored in memory only: %s: %s", self._file, reason)
        self._file = None
        self._db = rows.connect(":memory:")

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _is_damage(error: sqlite3.Error) -> bool:
    # faults that Python's own module finds have no code of SQLite's
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def _name(error: sqlite3.Error) -> str:
    """Without the message: nothing of a prompt may reach the log."""
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _open_file(file: Path, busy_s: float) -> sqlite3.Connection:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # before SQLite makes it: the files beside it (-wal, -shm) get the same mode
    file.touch(mode=0o600)
    file.chmod(0o600)
    return rows.connect(str(file), busy_s)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _stored(row: tuple[str, bytes, bytes]) -> Stored:
    return Stored(json.loads(row[1]), json.loads(row[2]))
