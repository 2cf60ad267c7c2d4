"""Run one command so that nothing of it outlives whoever started this guard.

A real Airflow is a tree of processes that fork, change process group and lose their parents. A signal to a
process group misses half of them, and a runner that is killed with SIGKILL cannot send one at all. So each
component runs under a guard::

    runner --- stdin pipe ---> guard ---> airflow scheduler ---> workers, tasks, ...

* The guard waits for the end of its stdin. The kernel closes that pipe when the runner goes, however it goes:
  no signal handler in the runner is needed.
* On Linux the guard is a *child subreaper*: orphans below it become its own children, whatever their process
  group or session, and can be found. On other systems it finds those that still hang in the tree.

The component is asked to end with SIGTERM; after the grace period SIGKILL follows, for it and for all that it
leaves behind.

Usage: ``python guard.py STATUS_FILE GRACE_SECONDS COMMAND [ARGUMENT ...]``. The status file is JSON: ``pid``
of the command, and ``exit`` (its exit code, minus the signal if one ended it) once it is gone.
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
_KILL_SECONDS = 15.0  # how long to go on killing what is left; SIGKILL needs milliseconds


class Guard:
    """Own one command and everything that descends from it.

    :param status_path: where the command's pid and exit code are written.
    :param grace: seconds between SIGTERM and SIGKILL.
    :param command: program and arguments.
    """

    def __init__(self, status_path: Path, grace: float, command: list[str]) -> None:
        self._status_path = status_path
        self._grace = grace
        self._told_to_stop = False
        self._exit: int | None = None
        self._wake_reader = self._listen_to_signals()
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._write_status()

    def run(self) -> None:
        """Watch until the runner is gone or nothing is left to guard, then clear up."""
        stdin = sys.stdin.fileno()
        while not self._told_to_stop and (self._exit is None or self._descendants()):
            readable, _, _ = select.select([stdin, self._wake_reader], [], [])
            if self._wake_reader in readable:
                os.read(self._wake_reader, 4096)
                self._reap()
            if stdin in readable and not os.read(stdin, 4096):
                break
        self._end()

    def _listen_to_signals(self) -> int:
        """Turn signals into bytes on a pipe, so that one ``select`` waits for everything.

        :returns: the end of the pipe to read.
        """
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            # Not SIG_IGN: an ignored signal stays ignored in the command, a handled one does not.
            signal.signal(number, lambda *_: None)
        return reader

    def _stop(self, *_: object) -> None:
        self._told_to_stop = True

    def _write_status(self) -> None:
        status = {"pid": self._child.pid, "exit": self._exit}
        draft = self._status_path.with_suffix(".new")
        draft.write_text(json.dumps(status))
        draft.replace(self._status_path)

    def _reap(self) -> None:
        """Bury every child that ended, adopted ones too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child.pid:
                self._exit = self._child.returncode = os.waitstatus_to_exitcode(status)
                self._write_status()

    @staticmethod
    def _descendants() -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    def _end(self) -> None:
        """Ask the command to end, then kill whatever is left."""
        if self._exit is None:
            self._child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while self._exit is None and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        deadline = time.monotonic() + _KILL_SECONDS
        while (left := self._descendants()) and time.monotonic() < deadline:
            for process in left:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.02)
            self._reap()


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    adopt_orphans()
    Guard(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]).run()
