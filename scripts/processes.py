"""Run child processes that end with this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from scripts.waiting import format_log_tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GUARD_PATH = Path(__file__).with_name("guard.py")
_START_TIMEOUT_SECONDS = 20.0  # until the guard reports the pid; normally 0.1


class GuardedProcess:
    """A command with a log file, under a guard (see :mod:`scripts.guard`).

    :param name: name in messages, and of its files.
    :param command: program and arguments.
    :param env: the whole environment.
    :param directory: folder for ``<name>.log``, to which each start appends, and ``<name>.json``.
    :param cwd: the working directory. Default: ``directory``.
    :param stop_timeout: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        directory: Path,
        cwd: Path | None = None,
        stop_timeout: float = 3.0,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = directory / f"{name}.log"
        self._env = dict(env)
        self._cwd = cwd or directory
        self._stop_timeout = stop_timeout
        self._status_path = directory / f"{name}.json"
        self._guard: subprocess.Popen[bytes] | None = None
        self._previous_guards: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the command. Processes that survived an earlier start are not affected.

        :raises RuntimeError: if it is already running, or does not start.
        """
        if self.is_running:
            raise RuntimeError(f"{self.name} is already running (pid {self.pid})")
        if self._guard is not None:
            self._previous_guards.append(self._guard)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._status_path.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    str(_GUARD_PATH),
                    str(self._status_path),
                    str(self._stop_timeout),
                    *self.command,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,  # only the runner receives Ctrl-C
            )
        wait_until(
            self._has_reported,
            description=f"{self.name} to start",
            timeout=_START_TIMEOUT_SECONDS,
            interval=0.01,
        )
        if not self._read_status():
            raise RuntimeError(f"{self.name} did not start\n{format_log_tail(self.log)}")

    @property
    def pid(self) -> int:
        """The process id of the command, also after its end."""
        return int(self._read_status()["pid"])

    @property
    def exit_code(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        code = self._read_status().get("exit")
        return None if code is None else int(code)

    @property
    def is_running(self) -> bool:
        """Whether the command is running."""
        return self._guard is not None and self._guard.poll() is None and self.exit_code is None

    def living_processes(self) -> list[psutil.Process]:
        """Return all living processes of the command, including orphaned descendants."""
        guards = [guard for guard in (*self._previous_guards, self._guard) if guard and guard.poll() is None]
        processes: list[psutil.Process] = []
        for guard in guards:
            try:
                processes += psutil.Process(guard.pid).children(recursive=True)
            except psutil.NoSuchProcess:
                continue
        return processes

    def kill(self, signal_number: int = signal.SIGKILL, *, timeout: float = 30.0) -> None:
        """Send a signal only to the command; for SIGKILL and SIGTERM, wait until it has ended.

        :raises ConditionTimeoutError: if it does not end in time.
        """
        os.kill(self.pid, signal_number)
        if signal_number in {signal.SIGKILL, signal.SIGTERM}:
            wait_until(
                lambda: not self.is_running, description=f"{self.name} to end", timeout=timeout, interval=0.02
            )

    def kill_all(self, *, timeout: float = 30.0) -> None:
        """Send SIGKILL to the command and all its descendants, as if their machine had failed.

        :raises ConditionTimeoutError: if they do not end in time.
        """

        def have_ended() -> bool:
            processes = self.living_processes()  # parents first, so that none reports a dead child
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            return not processes and not self.is_running

        wait_until(
            have_ended, description=f"all processes of {self.name} to end", timeout=timeout, interval=0.02
        )

    def request_stop(self) -> None:
        """Ask the guards to stop all processes, without waiting."""
        for guard in (*self._previous_guards, self._guard):
            if guard is not None and guard.stdin is not None:
                guard.stdin.close()

    def stop(self, *, timeout: float = 30.0) -> None:
        """Stop the command and all its descendants, and wait.

        :raises subprocess.TimeoutExpired: if the guard does not end in time.
        """
        self.request_stop()
        for guard in (*self._previous_guards, self._guard):
            if guard is not None:
                guard.wait(timeout)
        self._previous_guards.clear()

    def describe_exit(self) -> str:
        """Return a message with the exit code and the end of the log."""
        return f"{self.name} ended with exit code {self.exit_code}\n{format_log_tail(self.log)}"

    def _has_reported(self) -> bool:
        return bool(self._read_status()) or (self._guard is not None and self._guard.poll() is not None)

    def _read_status(self) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads(self._status_path.read_text())
        except FileNotFoundError:
            return {}
        return status
