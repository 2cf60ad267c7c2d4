"""Run a command, and kill all its processes when the parent of this guard ends.

Processes of Airflow fork, change their process group, and lose their parents. A signal to a process group
misses many of them, and a runner that is killed with SIGKILL cannot send one. So each component runs under a
guard::

    runner --- stdin pipe ---> guard ---> airflow scheduler ---> workers, tasks, ...

* The guard waits until its stdin closes. The kernel closes that pipe when the runner ends in any way.
* On Linux, the guard is a *child subreaper*: orphans become its children, so it finds them. On other systems,
  it finds only the processes that are still in the tree.

The command gets SIGTERM. After the grace period, the guard sends SIGKILL to it and to all its descendants.

Usage: ``python guard.py STATUS_FILE GRACE_SECONDS COMMAND [ARGUMENT ...]``. The status file is JSON with the
``pid`` of the command, and its ``exit`` code (the negative signal number if a signal ended it).
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_KILL_TIMEOUT_SECONDS = 15.0  # SIGKILL normally needs milliseconds


class Guard:
    """Owner of a command and its descendants.

    :param status_path: file for the command's pid and exit code.
    :param stop_timeout: seconds between SIGTERM and SIGKILL.
    :param command: program and arguments.
    """

    def __init__(self, status_path: Path, stop_timeout: float, command: list[str]) -> None:
        self._status_path = status_path
        self._stop_timeout = stop_timeout
        self._is_stopping = False
        self._exit_code: int | None = None
        self._wakeup_fd = self._install_signal_handlers()
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._write_status()

    def run(self) -> None:
        """Wait until the runner or all guarded processes have ended, then kill the remaining ones."""
        stdin = sys.stdin.fileno()
        while not self._is_stopping and (self._exit_code is None or self._descendants()):
            readable, _, _ = select.select([stdin, self._wakeup_fd], [], [])
            if self._wakeup_fd in readable:
                os.read(self._wakeup_fd, 4096)
                self._reap()
            if stdin in readable and not os.read(stdin, 4096):
                break
        self._terminate()

    def _install_signal_handlers(self) -> int:
        """Write signals to a pipe, so that one ``select`` waits for all events, and return its read end."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._handle_sigterm)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            # Not SIG_IGN, which the command would inherit.
            signal.signal(number, lambda *_: None)
        return reader

    def _handle_sigterm(self, *_: object) -> None:
        self._is_stopping = True

    def _write_status(self) -> None:
        status = {"pid": self._child.pid, "exit": self._exit_code}
        draft = self._status_path.with_suffix(".new")
        draft.write_text(json.dumps(status))
        draft.replace(self._status_path)

    def _reap(self) -> None:
        """Reap all children that have ended, including adopted ones."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child.pid:
                self._exit_code = self._child.returncode = os.waitstatus_to_exitcode(status)
                self._write_status()

    @staticmethod
    def _descendants() -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    def _terminate(self) -> None:
        """Send SIGTERM to the command, then kill all remaining processes."""
        if self._exit_code is None:
            self._child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_timeout
        while self._exit_code is None and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        deadline = time.monotonic() + _KILL_TIMEOUT_SECONDS
        while (remaining := self._descendants()) and time.monotonic() < deadline:
            for process in remaining:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.02)
            self._reap()


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants (only on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    adopt_orphans()
    Guard(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]).run()
