"""Run the Code Ocean emulator as a child process."""

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

_START_TIMEOUT_SECONDS = 60.0


def read_env_file(path: Path) -> dict[str, str]:
    """Read the variables of an environment file, with or without ``export``.

    :param path: the file, which may be missing or incomplete.
    :returns: the variables of complete lines.
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


def call_emulator(variables: Mapping[str, str], method: str, path: str, body: object | None = None) -> Any:
    """Send a request to an emulator with its token.

    :param variables: the variables of its environment file.
    :param path: the path with a leading slash.
    :param body: the request's body, to be sent as JSON.
    :returns: the decoded JSON, or None for an empty response.
    """
    basic = base64.b64encode(f"{variables['CODEOCEAN_TOKEN']}:".encode()).decode()
    url = variables["CODEOCEAN_URL"].rstrip("/") + path
    return request_json(method, url, body, authorization=f"Basic {basic}")


class EmulatorProcess:
    """Context manager for an emulator on a free port. It ends with the block, or with this process.

    :param directory: folder for its log and its environment file.
    :param arguments: further command line arguments.
    :param python: an interpreter with the provider.
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
            stop_timeout=1.0,
        )
        self.log = self._process.log
        self.variables: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self._process.log.parent.mkdir(parents=True, exist_ok=True)
        self._env_file.unlink(missing_ok=True)
        self._process.start()
        try:
            wait_until(
                self._is_up,
                description=f"the emulator (log: {self.log})",
                timeout=_START_TIMEOUT_SECONDS,
                interval=0.05,
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
        """Its address, without a trailing slash."""
        return self.variables["CODEOCEAN_URL"].rstrip("/")

    @property
    def token(self) -> str:
        """A valid access token."""
        return self.variables["CODEOCEAN_TOKEN"]

    @property
    def computation_id(self) -> str:
        """The id of a finished computation with results."""
        return self.variables["CODEOCEAN_COMPUTATION_ID"]

    @property
    def connection(self) -> dict[str, str]:
        """The Airflow connection to it, as a JSON object."""
        return {"conn_type": "codeocean", "host": self.url, "password": self.token}

    @property
    def connection_with_port(self) -> dict[str, str | int]:
        """The same with a separate port: Airflow 3.3.2 needs it for a test (pull request 73298)."""
        host, _, port = self.url.rpartition(":")
        return {**self.connection, "host": host, "port": int(port)}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self, signal_number: int) -> None:
        """Send SIGKILL or SIGTERM, and wait for its end."""
        self._process.kill(signal_number)

    def get(self, path: str) -> Any:
        """Send a GET request with the token.

        :param path: ``/api/v1/...`` or ``/_emulator/...``.
        :returns: the decoded JSON.
        """
        return self.call_api("GET", path)

    def call_api(self, method: str, path: str, body: object | None = None) -> Any:
        """Send a request with the token.

        :param path: the path with a leading slash.
        :param body: the request's body, to be sent as JSON.
        :returns: the decoded JSON, or None for an empty response.
        """
        return call_emulator(self.variables, method, path, body)

    def _is_up(self) -> bool:
        if not self._process.is_running:
            raise RuntimeError(self._process.describe_exit())
        self.variables = read_env_file(self._env_file)
        return "CODEOCEAN_URL" in self.variables and "CODEOCEAN_TOKEN" in self.variables
