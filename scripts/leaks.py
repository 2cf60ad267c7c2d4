"""Finding an access token, or the signature of a URL, in all that an Airflow keeps, shows and runs with.

What is found is named by its place alone: a report of leaks that repeated them would be one.
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

#: A signature as the emulator puts it into the URLs of files, also where such a URL is itself quoted.
SIGNATURE = re.compile(rb"signature(?:=|%3[dD]|\\u003[dD])[0-9a-f]{16}")

#: Bytes of a file that are searched at a time, and by how much two pieces overlap.
_PIECE, _OVERLAP = 16 * 1024 * 1024, 4096


class Leaks:
    """Searches for tokens and signatures.

    :param tokens: the access tokens.
    :param fernet_key: Airflow's key, to look into what it has encrypted; None leaves that out.
    """

    def __init__(self, tokens: Iterable[str], fernet_key: str | None = None) -> None:
        self._forms = [
            (f"{what} of token {number}", form)
            for number, token in enumerate(tokens, 1)
            for what, form in forms_of(token).items()
        ]
        self._fernet = Fernet(fernet_key) if fernet_key else None

    def in_text(self, text: str | bytes, place: str) -> list[str]:
        """Search a text.

        :param text: the text.
        :param place: where it is.
        :returns: for each thing found, what it is and the place.
        """
        content = text.encode(errors="replace") if isinstance(text, str) else text
        found = [f"{what}: {place}" for what, form in self._forms if form in content]
        return found + [f"a signature: {place}"] * (SIGNATURE.search(content) is not None)

    def in_files(self, folder: Path) -> list[str]:
        """Search all files below a folder, and their names.

        :param folder: the folder.
        :returns: what was found, and where.
        """
        found = []
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            found += self.in_text(name, f"the name of {name}")
            if path.is_file() and not path.is_symlink():
                for piece in _pieces(path):
                    found += self.in_text(piece, name)
        return sorted(set(found))

    def in_database(self, path: Path) -> list[str]:
        """Search every value of every table; of triggers also what is encrypted in them.

        :param path: the SQLite file.
        :returns: what was found, and where.
        """
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
                        found += self._in_value(value, name, column)
        return sorted(set(found))

    def _in_value(self, value: Any, table: str, column: str) -> list[str]:
        content = value if isinstance(value, bytes) else str(value).encode()
        place = f"table {table}, column {column}"
        found = self.in_text(content, place)
        if self._fernet and table != "connection":  # where the token is at home
            for encrypted in re.findall(rb"gAAAAA[\w=-]{60,}", content):
                try:
                    found += self.in_text(self._fernet.decrypt(encrypted), f"{place}, decrypted")
                except InvalidToken:
                    continue
        return found

    def in_arguments(self, processes: Iterable[psutil.Process]) -> list[str]:
        """Search the arguments of processes, which everybody on the machine can read.

        :param processes: the processes; those that have ended are left out.
        :returns: what was found, and where.
        """
        found = []
        for process in processes:
            try:
                arguments = process.cmdline()
            except psutil.Error:
                continue
            found += self.in_text("\0".join(arguments), f"the arguments of {' '.join(arguments[:1])}")
        return sorted(set(found))

    def in_answers(self, answers: Mapping[str, Any]) -> list[str]:
        """Search answers of Airflow's REST API.

        :param answers: the decoded JSON, by path.
        :returns: what was found, and where.
        """
        return [leak for path, answer in answers.items() for leak in self.in_text(json.dumps(answer), path)]


def forms_of(token: str) -> dict[str, bytes]:
    """Return the forms in which a token may be written.

    :param token: the token.
    :returns: the forms, by what they are; those of Base64 are what is the same whatever stands around it.
    """
    forms = {"plain text": token.encode(), "the URL form": quote(token, safe="").encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + token.encode())
        # The characters at both ends depend on what stands beside the token.
        forms[f"Base64, shifted by {shift},"] = encoded[-(-shift * 8 // 6) : len(encoded) // 4 * 4 - 4]
    return forms


def rest_api_paths(dag_ids: Sequence[str]) -> Iterator[str]:
    """Return what of Airflow 3's REST API tells of the installation and of some DAGs.

    :param dag_ids: the DAGs.
    :yields: the paths; ``~`` stands for all.
    """
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


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            before = b""
            while piece := file.read(_PIECE):
                yield before + piece
                before = piece[-_OVERLAP:]
    except FileNotFoundError:  # it was a moment ago
        return
