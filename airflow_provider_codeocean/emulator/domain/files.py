"""Files as real bytes: results of runs, contents of data assets, objects in buckets.

A location is a flat space of paths: `run-<id>`, `asset-<id>` or `bucket-<name>`. Paths have no leading slash.
"""

import sqlite3
import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class FileEntry(NamedTuple):
    """A file in a listing.

    :param relative: its path below the folder that is listed.
    :param path: its path in the location.
    :param size: in bytes.
    """

    relative: str
    path: str
    size: int


def clean_path(path: str | None) -> str:
    """Bring a path of a request into the stored form.

    :param path: with or without slashes at its ends; None is the root.
    :returns: the path without them.
    """
    return (path or "").strip("/")


def join_path(*parts: str) -> str:
    """Join paths, leaving out empty ones.

    :param *parts: clean paths.
    :returns: a clean path.
    """
    return "/".join(part for part in parts if part)


class FileStore:
    """The files table of the state.

    :param db: the database.
    :param lock: what guards it.
    :param now: returns the time as Unix seconds.
    """

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock, now: Callable[[], float]) -> None:
        self._db = db
        self._lock = lock
        self._now = now

    def put(self, location: str, path: str, content: bytes) -> None:
        """Write a file.

        :param location: where.
        :param path: a clean path.
        :param content: the bytes.
        """
        with self._lock:
            self._db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (location, path, content, self._now())
            )

    def read(self, location: str, path: str) -> bytes | None:
        """Read a file.

        :param location: where.
        :param path: a clean path.
        :returns: the bytes; None if there is no such file.
        """
        rows = self._select("content", location, "AND path = ?", path)
        return rows[0][0] if rows else None

    def modified_at(self, location: str, path: str) -> float:
        """Return when a file was written.

        :param location: where.
        :param path: a clean path.
        :returns: Unix seconds; 0 if there is no such file.
        """
        rows = self._select("written", location, "AND path = ?", path)
        return rows[0][0] if rows else 0.0

    def tree(self, location: str, folder: str) -> list[FileEntry]:
        """List all files below a folder, or the one file that has this path.

        :param location: where.
        :param folder: a clean path, empty for the root.
        :returns: the files in the order of their paths.
        """
        inside = "AND (? = '' OR (path > ? AND path < ?))"
        rows = self._select("path, length(content)", location, inside, folder, f"{folder}/", f"{folder}0")
        if rows:
            start = len(folder) + 1 if folder else 0
            return [FileEntry(path[start:], path, size) for path, size in rows]
        rows = self._select("path, length(content)", location, "AND path = ?", folder)
        return [FileEntry(path.rpartition("/")[2], path, size) for path, size in rows]

    def copy(self, source: str, folder: str, target: str, prefix: str) -> None:
        """Copy a folder, or one file, into another location.

        :param source: location to copy from.
        :param folder: what to copy, a clean path, empty for all.
        :param target: location to copy to.
        :param prefix: the folder to put it in, a clean path, empty for the root.
        """
        statement = (
            "INSERT OR REPLACE INTO files SELECT ?, ?, content, ? FROM files WHERE location = ? AND path = ?"
        )
        with self._lock:
            for entry in self.tree(source, folder):
                copied = join_path(prefix, entry.relative)
                self._db.execute(statement, (target, copied, self._now(), source, entry.path))

    def folder(self, location: str, prefix: str, path: str) -> list[dict[str, Any]] | None:
        """List one folder as the API does.

        :param location: where.
        :param prefix: the root of what is listed, a clean path.
        :param path: the folder below it, a clean path.
        :returns: items `{name, path, type, size}`, folders first; None if there is no such folder.
        """
        root = join_path(prefix, path)
        entries = self.tree(location, root)
        if (path and not entries) or any(entry.path == root for entry in entries):
            return None
        folders: dict[str, dict[str, Any]] = {}
        files = []
        for entry in entries:
            name, slash, _ = entry.relative.partition("/")
            item = {"name": name, "path": join_path(path, name)}
            if slash:
                folders[name] = {**item, "type": "folder"}
            else:
                files.append({**item, "type": "file", "size": entry.size})
        return [*folders.values(), *files]

    def delete(self, location: str) -> None:
        """Delete all files of a location.

        :param location: where.
        """
        with self._lock:
            self._db.execute("DELETE FROM files WHERE location = ?", (location,))

    def _select(self, columns: str, location: str, condition: str, *values: str) -> list[Any]:
        statement = f"SELECT {columns} FROM files WHERE location = ? {condition} ORDER BY path"  # noqa: S608
        with self._lock:
            return self._db.execute(statement, (location, *values)).fetchall()
