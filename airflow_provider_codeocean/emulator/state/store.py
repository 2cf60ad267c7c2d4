"""The emulator's state: SQLite, in memory or in a file that survives `kill -9`, with a mirror for reading."""

import bisect
import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from airflow_provider_codeocean.emulator.domain.config import MAX_SEARCH_LAG
from airflow_provider_codeocean.emulator.domain.files import FileStore
from airflow_provider_codeocean.emulator.domain.records import (
    Capsule,
    Computation,
    DataAsset,
    Record,
    ReleaseJob,
    User,
)

R = TypeVar("R", bound=Record)

# The mirror of one process does not see what another writes: the file belongs to one at a time.
PRAGMAS = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, id TEXT NOT NULL, written REAL NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE TABLE IF NOT EXISTS files (
    location TEXT NOT NULL, path TEXT NOT NULL, content BLOB NOT NULL, written REAL NOT NULL,
    PRIMARY KEY (location, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """All state.

    Commits are durable against the death of the process, not of the machine: that is what WAL with
    `synchronous=NORMAL` gives, without a disk flush for each write.

    :param path: the state file; in memory if not given.
    :param now: tells the time of a write.
    """

    def __init__(self, path: Path | None, now: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self._depth = 0
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.executescript(PRAGMAS + SCHEMA)
        self.files = FileStore(self._db, self.lock, now)
        self.users = Shelf(self, "user", User, now)
        self.data_assets = Shelf(self, "data_asset", DataAsset, now)
        self.computations = Shelf(self, "computation", Computation, now)
        self.capsules = Shelf(self, "capsule", Capsule, now)
        self.releases = Shelf(self, "release", ReleaseJob, now)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make several writes one: all are committed, or none. May be nested.

        The mirror is not rolled back: what may be refused is checked before the first write.
        """
        with self.lock:
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("COMMIT")

    def execute(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        """Run one statement.

        :param statement: SQL.
        :param values: its parameters.
        :returns: the rows.
        """
        with self.lock:
            return self._db.execute(statement, values).fetchall()

    def note(self, name: str) -> Any:
        """Read a note.

        :param name: its name.
        :returns: its value, or None.
        """
        rows = self.execute("SELECT value FROM notes WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def write_note(self, name: str, value: Any) -> None:
        """Write a note: something small that belongs to no record.

        :param name: its name.
        :param value: anything that JSON can hold.
        """
        self.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(value)))

    def close(self) -> None:
        """Close the database; it cannot be used again."""
        with self.lock:
            self._db.close()


class Shelf(Generic[R]):
    """All records of one kind, and for a while what they replaced, so that search can lag behind.

    :param store: where they are kept.
    :param kind: their kind.
    :param record: the class of the records.
    :param now: tells the time of a write.
    """

    def __init__(self, store: Store, kind: str, record: type[R], now: Callable[[], float]) -> None:
        self._store = store
        self._kind = kind
        self._now = now
        self._current: dict[str, R] = {}
        self._versions: dict[str, list[tuple[float, R | None]]] = {}
        self._order: list[tuple[float, str]] = []
        for written, document in store.execute(
            "SELECT written, document FROM records WHERE kind = ?", (kind,)
        ):
            self._mirror(record.load(json.loads(document)), written)

    def __len__(self) -> int:
        return len(self._current)

    def get(self, record_id: str) -> R | None:
        """Find a record.

        :param record_id: its id.
        :returns: the record as it is now, or None.
        """
        return self._current.get(record_id)

    def all(self) -> list[R]:
        """List all records as they are now.

        :returns: the newest first.
        """
        return self.newest(len(self))

    def newest(self, count: int) -> list[R]:
        """List the newest records as they are now.

        :param count: how many at most.
        :returns: the newest first.
        """
        return list(islice(self.as_of(math.inf), count))

    def put(self, record: R, *, written: float | None = None) -> R:
        """Store a record, instead of the one with its id if there is one.

        :param record: the record.
        :param written: since when search may show it, Unix seconds; now if not given.
        :returns: the same record.
        """
        written = self._now() if written is None else written
        with self._store.transaction():
            self._store.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)",
                (self._kind, record.id, written, json.dumps(record, default=vars)),
            )
            self._mirror(record, written)
        return record

    def delete(self, record_id: str) -> None:
        """Remove a record.

        :param record_id: the id of one that exists.
        """
        with self._store.transaction():
            self._store.execute("DELETE FROM records WHERE kind = ? AND id = ?", (self._kind, record_id))
            del self._current[record_id]
            self._remember(record_id, None, self._now())

    def as_of(self, moment: float, *, before: tuple[float, str] | None = None) -> Iterator[R]:
        """Go through the records as they were at a moment, the newest first.

        :param moment: Unix seconds, at most `MAX_SEARCH_LAG` ago.
        :param before: begin below this creation time and id.
        :yield: each record that existed.
        """
        with self._store.lock:
            end = len(self._order) if before is None else bisect.bisect_left(self._order, before)
            order = self._order[:end]
        for _, record_id in reversed(order):
            for written, record in reversed(self._versions[record_id]):
                if written <= moment:
                    if record is not None:
                        yield record
                    break

    def _mirror(self, record: R, written: float) -> None:
        if record.id not in self._versions:
            bisect.insort(self._order, (record.created, record.id))
        self._current[record.id] = record
        self._remember(record.id, record, written)

    def _remember(self, record_id: str, record: R | None, written: float) -> None:
        versions = self._versions.setdefault(record_id, [])
        versions.append((written, record))
        while len(versions) > 1 and versions[1][0] <= written - MAX_SEARCH_LAG:
            del versions[0]
