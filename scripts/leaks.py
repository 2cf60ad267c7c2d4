"""Search the data, output, and processes of an Airflow for access tokens and URL signatures.

Findings contain only the place, because a report with the secret would be a leak itself.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
from cryptography.fernet import Fernet, InvalidToken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: A signature in the emulator's file URLs, also within a quoted URL.
SIGNATURE_PATTERN = re.compile(rb"signature(?:=|%3[dD]|\\u003[dD])[0-9a-f]{16}")

#: Files are searched in pieces that overlap.
_PIECE_BYTES = 16 * 1024 * 1024
_OVERLAP_BYTES = 4096


class LeakSearch:
    """Searches for tokens and signatures.

    :param fernet_key: Airflow's key, to search encrypted data; None skips these.
    """

    def __init__(self, tokens: Iterable[str], fernet_key: str | None = None) -> None:
        self._token_forms = [
            (f"{name} of token {number}", form)
            for number, token in enumerate(tokens, 1)
            for name, form in token_forms(token).items()
        ]
        self._fernet = Fernet(fernet_key) if fernet_key else None

    def search_text(self, text: str | bytes, location: str) -> list[str]:
        """Search a text.

        :param location: its place, for the findings.
        :returns: the findings.
        """
        content = text.encode(errors="replace") if isinstance(text, str) else text
        found = [f"{name}: {location}" for name, form in self._token_forms if form in content]
        return found + [f"a signature: {location}"] * (SIGNATURE_PATTERN.search(content) is not None)

    def search_files(self, folder: Path) -> list[str]:
        """Search all files in a folder, and their names."""
        found = []
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            found += self.search_text(name, f"the name of {name}")
            if path.is_file() and not path.is_symlink():
                for piece in _read_pieces(path):
                    found += self.search_text(piece, name)
        return sorted(set(found))

    def search_database(self, path: Path) -> list[str]:
        """Search all values in a SQLite database, including encrypted ones."""
        found = []
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            database.text_factory = bytes
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                name = table.decode()
                rows = database.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - as the database names it
                columns = [column for column, *_ in rows.description]
                for row in rows:
                    for column, value in zip(columns, row, strict=True):
                        found += self._search_value(value, name, column)
        return sorted(set(found))

    def _search_value(self, value: Any, table: str, column: str) -> list[str]:
        content = value if isinstance(value, bytes) else str(value).encode()
        place = f"table {table}, column {column}"
        found = self.search_text(content, place)
        if self._fernet and table != "connection":  # which stores the token
            for encrypted in re.findall(rb"gAAAAA[\w=-]{60,}", content):
                try:
                    found += self.search_text(self._fernet.decrypt(encrypted), f"{place}, decrypted")
                except InvalidToken:
                    continue
        return found

    def search_arguments(self, processes: Iterable[psutil.Process]) -> list[str]:
        """Search the arguments of running processes, which all users of the machine can read."""
        found = []
        for process in processes:
            try:
                arguments = process.cmdline()
            except psutil.Error:
                continue
            found += self.search_text("\0".join(arguments), f"the arguments of {' '.join(arguments[:1])}")
        return sorted(set(found))

    def search_responses(self, responses: Mapping[str, Any]) -> list[str]:
        """Search responses of Airflow's REST API.

        :param responses: the decoded JSON, by path.
        """
        return [
            leak
            for path, response in responses.items()
            for leak in self.search_text(json.dumps(response), path)
        ]


def token_forms(token: str) -> dict[str, bytes]:
    """Return the forms in which a token can appear.

    :returns: the forms by name. Base64 forms contain only the characters that do not depend on adjacent text.
    """
    forms = {"plain text": token.encode(), "the URL form": quote(token, safe="").encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + token.encode())
        # The characters at both ends depend on adjacent text.
        forms[f"Base64, shifted by {shift},"] = encoded[-(-shift * 8 // 6) : len(encoded) // 4 * 4 - 4]
    return forms


def iter_rest_api_paths(dag_ids: Sequence[str]) -> Iterator[str]:
    """Yield paths of Airflow 3's REST API about the installation and some DAGs; ``~`` means all."""
    yield from (
        f"/api/v2/{path}"
        for path in (
            "connections?limit=100",
            "variables?limit=100",
            "eventLogs?limit=1000",
            "importErrors?limit=100",
            "jobs?limit=100",
            "assets?limit=100",
            "assets/events?limit=100",
            "pools?limit=100",
            "providers?limit=300",
            "dagWarnings?limit=100",
        )
    )
    for dag_id in dag_ids:
        yield f"/api/v2/dags/{dag_id}/details"
        yield f"/api/v2/dagSources/{dag_id}"
        yield f"/api/v2/dags/{dag_id}/dagRuns?limit=100"
        yield f"/api/v2/dags/{dag_id}/tasks"
        yield f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances?limit=1000"


def _read_pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            before = b""
            while piece := file.read(_PIECE_BYTES):
                yield before + piece
                before = piece[-_OVERLAP_BYTES:]
    except FileNotFoundError:  # deleted meanwhile
        return
