"""Child processes that cannot outlive this one."""

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

from scripts.waiting import ending, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GUARD = Path(__file__).with_name("guard.py")
_START_SECONDS = 20.0  # for the guard to report the command's pid: normally 0.1


class GuardedProcess:
    """One command under a guard (see :mod:`scripts.guard`), with a log file.

    :param name: what to call it in messages; also names its files.
    :param command: program and arguments.
    :param env: its whole environment.
    :param directory: where its files go: ``<name>.log`` (appended to at each start) and ``<name>.json``.
    :param cwd: its working directory; ``directory`` by default.
    :param grace: seconds between SIGTERM and SIGKILL when it is stopped.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        directory: Path,
        cwd: Path | None = None,
        grace: float = 3.0,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = directory / f"{name}.log"
        self._env = dict(env)
        self._cwd = cwd or directory
        self._grace = grace
        self._status_path = directory / f"{name}.json"
        self._guard: subprocess.Popen[bytes] | None = None
        self._earlier_guards: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the command; what an earlier, killed start of it left running is not touched.

        :raises RuntimeError: when it is running already, or cannot be started.
        """
        if self.running:
            raise RuntimeError(f"{self.name} is running already (pid {self.pid})")
        if self._guard is not None:
            self._earlier_guards.append(self._guard)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._status_path.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-P", str(_GUARD), str(self._status_path), str(self._grace), *self.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,  # Ctrl-C in the terminal is for the runner alone
            )
        wait_until(self._reported, awaited=f"{self.name} to start", timeout=_START_SECONDS, every=0.01)
        if not self._status():
            raise RuntimeError(f"{self.name} did not start\n{ending(self.log)}")

    @property
    def pid(self) -> int:
        """The command's own process id (not the guard's), also after its end."""
        return int(self._status()["pid"])

    @property
    def exit_code(self) -> int | None:
        """The command's exit code, minus the signal if one ended it; None before that."""
        code = self._status().get("exit")
        return None if code is None else int(code)

    @property
    def running(self) -> bool:
        """Whether the command has started and not ended."""
        return self._guard is not None and self._guard.poll() is None and self.exit_code is None

    def tree(self) -> list[psutil.Process]:
        """Return all living processes under the guard: the command, its descendants, and their orphans."""
        guards = [guard for guard in (*self._earlier_guards, self._guard) if guard and guard.poll() is None]
        found: list[psutil.Process] = []
        for guard in guards:
            try:
                found += psutil.Process(guard.pid).children(recursive=True)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, signal_number: int = signal.SIGKILL, *, timeout: float = 30.0) -> None:
        """Send a signal to the command alone; for SIGKILL and SIGTERM, wait until it is gone.

        :param signal_number: which signal.
        :param timeout: seconds to wait for its end.
        :raises WaitExpiredError: when it does not end.
        """
        os.kill(self.pid, signal_number)
        if signal_number in {signal.SIGKILL, signal.SIGTERM}:
            wait_until(lambda: not self.running, awaited=f"{self.name} to end", timeout=timeout, every=0.02)

    def kill_all(self, *, timeout: float = 30.0) -> None:
        """Send SIGKILL to the command and all its descendants, as if their machine had died.

        :param timeout: seconds to wait for their end.
        :raises WaitExpiredError: when they do not end.
        """

        def gone() -> bool:
            left = self.tree()  # parents first, so that none tells of its child's death
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            return not left and not self.running

        wait_until(gone, awaited=f"the end of all that belongs to {self.name}", timeout=timeout, every=0.02)

    def release(self) -> None:
        """Tell the guards to end everything, without waiting."""
        for guard in (*self._earlier_guards, self._guard):
            if guard is not None and guard.stdin is not None:
                guard.stdin.close()

    def stop(self, *, timeout: float = 30.0) -> None:
        """End the command and all its descendants, and wait for it.

        :param timeout: seconds to wait.
        :raises subprocess.TimeoutExpired: when the guard does not come to an end.
        """
        self.release()
        for guard in (*self._earlier_guards, self._guard):
            if guard is not None:
                guard.wait(timeout)
        self._earlier_guards.clear()

    def describe_end(self) -> str:
        """Return a sentence about how it ended, with the end of its log."""
        return f"{self.name} ended with exit code {self.exit_code}\n{ending(self.log)}"

    def _reported(self) -> bool:
        return bool(self._status()) or (self._guard is not None and self._guard.poll() is not None)

    def _status(self) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads(self._status_path.read_text())
        except FileNotFoundError:
            return {}
        return status
