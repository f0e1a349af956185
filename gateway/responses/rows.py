"""The SQL of stored responses. Each function is one transaction of its caller's."""

import sqlite3
from collections.abc import Sequence
from typing import Protocol

VERSION = 1
BUSY_S = 5.0

Row = tuple[str, bytes, bytes]
"""id, response, items."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  previous_id TEXT,
  used_at REAL NOT NULL,
  bytes INTEGER NOT NULL,
  response BLOB NOT NULL,
  items BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_use ON responses (used_at, bytes);
"""

# newest first until the first that has no predecessor, or whose predecessor is not there
CHAIN = """
WITH RECURSIVE chain (id, previous_id, depth, total) AS (
  SELECT id, previous_id, 1, bytes FROM responses WHERE id = :id AND owner = :owner
  UNION ALL
  SELECT r.id, r.previous_id, depth + 1, total + r.bytes
  FROM chain JOIN responses r ON r.id = chain.previous_id AND r.owner = :owner
  WHERE depth < :depth AND total + r.bytes <= :total
)
SELECT r.id, r.response, r.items FROM chain JOIN responses r ON r.id = chain.id ORDER BY depth
"""


class OtherVersion(Exception):
    """The file was written by an ailiance with another schema."""


class Limits(Protocol):
    @property
    def count(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def age_s(self) -> float: ...


def connect(path: str, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """An open database with its schema; raises sqlite3.Error or OtherVersion."""
    db = sqlite3.connect(path, timeout=busy_s, check_same_thread=False)
    try:
        # before the first table; then the file shrinks as rows go
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        # a deleted prompt is gone, not merely unlinked
        db.execute("PRAGMA secure_delete = ON")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise OtherVersion
        db.executescript(SCHEMA)
        db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def insert(
    db: sqlite3.Connection,
    row: tuple[str, str, str | None, bytes, bytes],
    now_s: float,
    limits: Limits,
) -> None:
    """Keep a response, then drop what is beyond the bounds."""
    response_id, owner, previous_id, response, items = row
    size = len(response) + len(items)
    db.execute(
        "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)",
        (response_id, owner, previous_id, now_s, size, response, items),
    )
    expire(db, now_s - limits.age_s)
    beyond = _beyond(db, limits)
    if beyond:
        db.executemany("DELETE FROM responses WHERE rowid = ?", beyond)
        shrink(db)


def _beyond(db: sqlite3.Connection, limits: Limits) -> list[tuple[int]]:
    """The longest unused that must go; reads no more of a full store than those."""
    found: list[tuple[int]] = []
    count, total = db.execute("SELECT count(*), sum(bytes) FROM responses").fetchone()
    for row, size in db.execute("SELECT rowid, bytes FROM responses ORDER BY used_at, rowid"):
        if count <= limits.count and total <= limits.total_bytes:
            break
        found.append((row,))
        count, total = count - 1, total - size
    return found


def expire(db: sqlite3.Connection, before_s: float) -> None:
    """Drop what was last used before then."""
    if db.execute("DELETE FROM responses WHERE used_at < ?", (before_s,)).rowcount:
        shrink(db)


def find(db: sqlite3.Connection, owner: str, response_id: str) -> Row | None:
    return db.execute(
        "SELECT id, response, items FROM responses WHERE id = ? AND owner = ?",
        (response_id, owner),
    ).fetchone()


def chain(
    db: sqlite3.Connection, owner: str, response_id: str, depth: int, total_bytes: int
) -> list[Row]:
    """A response and those before it, newest first."""
    given = {"id": response_id, "owner": owner, "depth": depth, "total": total_bytes}
    return db.execute(CHAIN, given).fetchall()


def touch(db: sqlite3.Connection, ids: Sequence[str], now_s: float) -> None:
    """A conversation that goes on is not the longest unused."""
    db.executemany("UPDATE responses SET used_at = ? WHERE id = ?", [(now_s, i) for i in ids])


def delete(db: sqlite3.Connection, owner: str, response_id: str) -> bool:
    given = (response_id, owner)
    gone = db.execute("DELETE FROM responses WHERE id = ? AND owner = ?", given).rowcount > 0
    if gone:
        db.commit()
        shrink(db)
        # out of the write-ahead log as well
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return gone


def shrink(db: sqlite3.Connection) -> None:
    """Free pages go back to the file system."""
    db.commit()
    db.execute("PRAGMA incremental_vacuum").fetchall()
