"""The provider's Code Ocean emulator as a child process, for the demo and the end-to-end tests."""

from __future__ import annotations

import base64
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, Self

from scripts.http_json import request_json
from scripts.processes import GuardedProcess
from scripts.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_START_SECONDS = 60.0


def read_env_file(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines as a shell would, with or without ``export`` before them.

    :param path: the file; may be missing or half written.
    :returns: the complete variables.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    variables: dict[str, str] = {}
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        words = shlex.split(line, comments=True)
        assignments = words[1:] if words[:1] == ["export"] else words
        for word in assignments:
            name, equals, value = word.partition("=")
            if equals:
                variables[name] = value
    return variables


class EmulatorProcess:
    """A context manager: the emulator on a free port, gone when the block ends or this process does.

    :param directory: where its log and its environment file go.
    :param arguments: further command line arguments.
    :param python: the interpreter that has the provider.
    """

    def __init__(
        self, directory: Path, *, arguments: Sequence[str] = (), python: str = sys.executable
    ) -> None:
        self._env_file = directory / "emulator.env"
        command = [python, "-m", "airflow_provider_codeocean.emulator", "--port", "0"]
        self._process = GuardedProcess(
            "emulator",
            [*command, "--env-file", str(self._env_file), *arguments],
            env=os.environ,
            directory=directory,
            grace=1.0,
        )
        self.log = self._process.log
        self.variables: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self._process.log.parent.mkdir(parents=True, exist_ok=True)
        self._env_file.unlink(missing_ok=True)
        self._process.start()
        try:
            wait_until(
                self._is_up, awaited=f"the emulator (log: {self.log})", timeout=_START_SECONDS, every=0.05
            )
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return self.variables["CODEOCEAN_URL"].rstrip("/")

    @property
    def token(self) -> str:
        """An access token that it takes."""
        return self.variables["CODEOCEAN_TOKEN"]

    @property
    def computation_id(self) -> str:
        """A computation that has ended and has results to capture."""
        return self.variables["CODEOCEAN_COMPUTATION_ID"]

    @property
    def connection(self) -> dict[str, str]:
        """The Airflow connection to it, as the JSON object Airflow takes."""
        return {"conn_type": "codeocean", "host": self.url, "password": self.token}

    @property
    def connection_for_the_ui(self) -> dict[str, str | int]:
        """The same with the port apart: Airflow 3.3.2 cannot test one without (its pull request 73298)."""
        host, _, port = self.url.rpartition(":")
        return {**self.connection, "host": host, "port": int(port)}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self, signal_number: int) -> None:
        """Send it a signal, and wait for its end.

        :param signal_number: SIGKILL or SIGTERM.
        """
        self._process.kill(signal_number)

    def get(self, path: str) -> Any:
        """Send it a GET request with the token.

        :param path: the path with the leading slash, ``/api/v1/...`` or ``/_emulator/...``.
        :returns: the decoded JSON.
        """
        return self.call("GET", path)

    def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Send it a request with the token.

        :param method: the HTTP method.
        :param path: the path with the leading slash.
        :param body: what to send as JSON.
        :returns: the decoded JSON, None for an empty answer.
        """
        basic = base64.b64encode(f"{self.token}:".encode()).decode()
        return request_json(method, self.url + path, body, authorization=f"Basic {basic}")

    def _is_up(self) -> bool:
        if not self._process.running:
            raise RuntimeError(self._process.describe_end())
        self.variables = read_env_file(self._env_file)
        return "CODEOCEAN_URL" in self.variables and "CODEOCEAN_TOKEN" in self.variables
