"""Stored files: results of computations, contents of data assets, and objects in buckets.

A location is a flat namespace of paths: `run-<id>`, `asset-<id>`, or `bucket-<name>`. Paths have no leading
slash.
"""

import sqlite3
import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class FileEntry(NamedTuple):
    """A file in a listing.

    :param relative_path: path below the listed folder.
    :param path: path in the location.
    :param size: size in bytes.
    """

    relative_path: str
    path: str
    size: int


def normalize_path(path: str | None) -> str:
    """Normalize a path from a request.

    :param path: the path, with or without leading and trailing slashes; None is the root.
    :returns: the path without leading and trailing slashes.
    """
    return (path or "").strip("/")


def join_path(*parts: str) -> str:
    """Join paths, leaving out empty ones.

    :param *parts: normalized paths.
    :returns: a normalized path.
    """
    return "/".join(part for part in parts if part)


class FileStore:
    """Access to the table of files.

    :param db: the database.
    :param lock: lock that guards the database.
    :param now: returns the time as Unix seconds.
    """

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock, now: Callable[[], float]) -> None:
        self._db = db
        self._lock = lock
        self._now = now

    def put(self, location: str, path: str, content: bytes) -> None:
        """Write a file.

        :param location: the file location.
        :param path: a normalized path.
        :param content: the bytes.
        """
        with self._lock:
            self._db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (location, path, content, self._now())
            )

    def read(self, location: str, path: str) -> bytes | None:
        """Read a file.

        :param location: the file location.
        :param path: a normalized path.
        :returns: the bytes; None if the file does not exist.
        """
        rows = self._select("content", location, "AND path = ?", path)
        return rows[0][0] if rows else None

    def modified_at(self, location: str, path: str) -> float:
        """Return when a file was written.

        :param location: the file location.
        :param path: a normalized path.
        :returns: the time in Unix seconds; 0 if the file does not exist.
        """
        rows = self._select("written", location, "AND path = ?", path)
        return rows[0][0] if rows else 0.0

    def list_files(self, location: str, folder: str) -> list[FileEntry]:
        """List all files below a folder, or the single file with this path.

        :param location: the file location.
        :param folder: a normalized path, empty for the root.
        :returns: the files in the order of their paths.
        """
        inside = "AND (? = '' OR (path > ? AND path < ?))"
        rows = self._select("path, length(content)", location, inside, folder, f"{folder}/", f"{folder}0")
        if rows:
            start = len(folder) + 1 if folder else 0
            return [FileEntry(path[start:], path, size) for path, size in rows]
        rows = self._select("path, length(content)", location, "AND path = ?", folder)
        return [FileEntry(path.rpartition("/")[2], path, size) for path, size in rows]

    def copy(
        self, source_location: str, source_folder: str, target_location: str, target_folder: str
    ) -> None:
        """Copy a folder or a file to another location.

        :param source_location: location to copy from.
        :param source_folder: the folder to copy, a normalized path; empty for all files.
        :param target_location: location to copy to.
        :param target_folder: the folder to copy it into, a normalized path; empty for the root.
        """
        statement = (
            "INSERT OR REPLACE INTO files SELECT ?, ?, content, ? FROM files WHERE location = ? AND path = ?"
        )
        with self._lock:
            for entry in self.list_files(source_location, source_folder):
                copied = join_path(target_folder, entry.relative_path)
                self._db.execute(
                    statement, (target_location, copied, self._now(), source_location, entry.path)
                )

    def list_folder(self, location: str, base_folder: str, path: str) -> list[dict[str, Any]] | None:
        """Return the API's listing of a folder.

        :param location: the file location.
        :param base_folder: the root of the listing, a normalized path.
        :param path: the folder below the root, a normalized path.
        :returns: items `{name, path, type, size}`, folders first; None if the folder does not exist.
        """
        root = join_path(base_folder, path)
        entries = self.list_files(location, root)
        if (path and not entries) or any(entry.path == root for entry in entries):
            return None
        folders: dict[str, dict[str, Any]] = {}
        files = []
        for entry in entries:
            name, slash, _ = entry.relative_path.partition("/")
            item = {"name": name, "path": join_path(path, name)}
            if slash:
                folders[name] = {**item, "type": "folder"}
            else:
                files.append({**item, "type": "file", "size": entry.size})
        return [*folders.values(), *files]

    def delete_location(self, location: str) -> None:
        """Delete all files of a location.

        :param location: the file location.
        """
        with self._lock:
            self._db.execute("DELETE FROM files WHERE location = ?", (location,))

    def _select(self, columns: str, location: str, condition: str, *values: str) -> list[Any]:
        statement = f"SELECT {columns} FROM files WHERE location = ? {condition} ORDER BY path"  # noqa: S608
        with self._lock:
            return self._db.execute(statement, (location, *values)).fetchall()
