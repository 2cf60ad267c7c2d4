"""Run snippets in one Python process, so that Airflow is imported only once."""

from __future__ import annotations

import json
import select
import subprocess
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_RESPONSE_TIMEOUT_SECONDS = 120.0
# Its standard input closes when its parent ends, however that happens. Then it ends, too.
_READ_EVAL_LOOP = """
import json, os, sys, traceback

responses = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    code, *sys.argv[1:] = json.loads(line)
    try:
        exec(code, {"__name__": "__main__"})
    except BaseException:
        print(json.dumps(traceback.format_exc()), file=responses, flush=True)
    else:
        print("null", file=responses, flush=True)
"""


class AirflowConsole:
    """Runs snippets of Python, one after the other, in one process.

    :param python: an interpreter with Airflow.
    :param env: the whole environment.
    :param cwd: the working directory.
    :param log: the file for its output.
    """

    def __init__(self, python: str, *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self._command = [python, "-u", "-c", _READ_EVAL_LOOP]
        self._env = dict(env)
        self._cwd = cwd
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self, code: str, *arguments: str) -> None:
        """Run a snippet, with its arguments in ``sys.argv[1:]``.

        :raises RuntimeError: if the snippet raises; contains the traceback.
        """
        with self._lock:
            response = self._send_line(json.dumps([code, *arguments]))
            if not response:
                self._kill_process()
                raise RuntimeError(f"Airflow did not respond; see {self._log}")
            error = json.loads(response)
            if error is not None:
                raise RuntimeError(f"Airflow raised an error:\n{error[-4000:]}")

    def _send_line(self, line: str) -> str:
        process = self._ensure_started()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process was started without pipes")
        try:
            print(line, file=process.stdin, flush=True)
        except BrokenPipeError:
            return ""
        readable, _, _ = select.select([process.stdout], [], [], _RESPONSE_TIMEOUT_SECONDS)
        return process.stdout.readline() if readable else ""

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._kill_process()

    def _ensure_started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    env=self._env,
                    cwd=self._cwd,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,  # only the runner receives Ctrl-C
                )
        return self._process

    def _kill_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()
