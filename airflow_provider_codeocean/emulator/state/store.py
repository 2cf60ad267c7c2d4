"""The state in SQLite, in memory or in a file that survives `kill -9`, with an in-memory mirror for reads."""

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

from airflow_provider_codeocean.emulator.domain.config import MAX_SEARCH_LAG_SECONDS
from airflow_provider_codeocean.emulator.domain.files import FileStore
from airflow_provider_codeocean.emulator.domain.records import (
    Capsule,
    Computation,
    DataAsset,
    Record,
    ReleaseJob,
    User,
)

RecordT = TypeVar("RecordT", bound=Record)

# Only one process at a time can open the file: its mirror would miss the writes of others.
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
    """All state of a deployment.

    Commits survive a crash of the process, but not of the machine: WAL with `synchronous=NORMAL` avoids a
    disk flush for each write.

    :param path: the state file; in memory by default.
    :param now: returns the current time.
    """

    def __init__(self, path: Path | None, now: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self._transaction_depth = 0
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.executescript(PRAGMAS + SCHEMA)
        self.files = FileStore(self._db, self.lock, now)
        self.users = Table(self, "user", User, now)
        self.data_assets = Table(self, "data_asset", DataAsset, now)
        self.computations = Table(self, "computation", Computation, now)
        self.capsules = Table(self, "capsule", Capsule, now)
        self.releases = Table(self, "release", ReleaseJob, now)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes into a transaction: all are committed, or none. It can be nested.

        The mirror is not rolled back, so run all checks before the first write.
        """
        with self.lock:
            if self._transaction_depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._transaction_depth += 1
            try:
                yield
            except BaseException:
                self._transaction_depth -= 1
                if self._transaction_depth == 0:
                    self._db.execute("ROLLBACK")
                raise
            self._transaction_depth -= 1
            if self._transaction_depth == 0:
                self._db.execute("COMMIT")

    def execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Run one statement.

        :param statement: SQL.
        :param parameters: parameters of the statement.
        :returns: the rows.
        """
        with self.lock:
            return self._db.execute(statement, parameters).fetchall()

    def get_meta(self, name: str) -> Any:
        """Read a note.

        :param name: name of the note.
        :returns: the value, or None.
        """
        rows = self.execute("SELECT value FROM notes WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def set_meta(self, name: str, value: Any) -> None:
        """Write a note: a small value that belongs to no record.

        :param name: name of the note.
        :param value: any JSON value.
        """
        self.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(value)))

    def close(self) -> None:
        """Close the database for good."""
        with self.lock:
            self._db.close()


class Table(Generic[RecordT]):
    """All records of one kind. Replaced versions are kept for a while, so that search can lag behind.

    :param store: the store.
    :param kind: kind of the records.
    :param record_class: the class of the records.
    :param now: returns the current time.
    """

    def __init__(
        self, store: Store, kind: str, record_class: type[RecordT], now: Callable[[], float]
    ) -> None:
        self._store = store
        self._kind = kind
        self._now = now
        self._records: dict[str, RecordT] = {}
        self._versions: dict[str, list[tuple[float, RecordT | None]]] = {}
        self._ids_by_creation: list[tuple[float, str]] = []
        for written, document in store.execute(
            "SELECT written, document FROM records WHERE kind = ?", (kind,)
        ):
            self._cache_record(record_class.from_json(json.loads(document)), written)

    def __len__(self) -> int:
        return len(self._records)

    def get(self, record_id: str) -> RecordT | None:
        """Find a record.

        :param record_id: its id.
        :returns: the current record, or None.
        """
        return self._records.get(record_id)

    def all(self) -> list[RecordT]:
        """List all current records.

        :returns: the records, newest first.
        """
        return self.newest(len(self))

    def newest(self, count: int) -> list[RecordT]:
        """List the newest current records.

        :param count: maximum number of records.
        :returns: the records, newest first.
        """
        return list(islice(self.iter_as_of(math.inf), count))

    def put(self, record: RecordT, *, written_at: float | None = None) -> RecordT:
        """Store a record, replacing any with the same id.

        :param record: the record.
        :param written_at: time of the write for search, in Unix seconds; now by default.
        :returns: the same record.
        """
        written_at = self._now() if written_at is None else written_at
        with self._store.transaction():
            self._store.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)",
                (self._kind, record.id, written_at, json.dumps(record, default=vars)),
            )
            self._cache_record(record, written_at)
        return record

    def delete(self, record_id: str) -> None:
        """Remove a record.

        :param record_id: the id of an existing record.
        """
        with self._store.transaction():
            self._store.execute("DELETE FROM records WHERE kind = ? AND id = ?", (self._kind, record_id))
            del self._records[record_id]
            self._append_version(record_id, None, self._now())

    def iter_as_of(self, timestamp: float, *, before: tuple[float, str] | None = None) -> Iterator[RecordT]:
        """Iterate over the records as of a time, newest first.

        :param timestamp: the time in Unix seconds, at most `MAX_SEARCH_LAG_SECONDS` ago.
        :param before: creation time and id that the first record must precede.
        :yield: the records.
        """
        with self._store.lock:
            end = (
                len(self._ids_by_creation)
                if before is None
                else bisect.bisect_left(self._ids_by_creation, before)
            )
            order = self._ids_by_creation[:end]
        for _, record_id in reversed(order):
            for written, record in reversed(self._versions[record_id]):
                if written <= timestamp:
                    if record is not None:
                        yield record
                    break

    def _cache_record(self, record: RecordT, written_at: float) -> None:
        if record.id not in self._versions:
            bisect.insort(self._ids_by_creation, (record.created, record.id))
        self._records[record.id] = record
        self._append_version(record.id, record, written_at)

    def _append_version(self, record_id: str, record: RecordT | None, written_at: float) -> None:
        versions = self._versions.setdefault(record_id, [])
        versions.append((written_at, record))
        while len(versions) > 1 and versions[1][0] <= written_at - MAX_SEARCH_LAG_SECONDS:
            del versions[0]
