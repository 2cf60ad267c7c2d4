"""A Python that has imported Airflow once, to run snippets in: importing takes it longer than they do."""

from __future__ import annotations

import json
import select
import subprocess
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SECONDS = 120.0
# It ends with its standard input, and so with the process that started it, however that ends.
_LOOP = """
import json, os, sys, traceback

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    code, *sys.argv[1:] = json.loads(line)
    try:
        exec(code, {"__name__": "__main__"})
    except BaseException:
        print(json.dumps(traceback.format_exc()), file=answers, flush=True)
    else:
        print("null", file=answers, flush=True)
"""


class AirflowConsole:
    """Runs snippets of Python, one after the other, in a process of their own that stays.

    :param python: the interpreter that has Airflow.
    :param env: its whole environment.
    :param cwd: its working directory.
    :param log: where its output goes.
    """

    def __init__(self, python: str, *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self._command = [python, "-u", "-c", _LOOP]
        self._env = dict(env)
        self._cwd = cwd
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def run(self, code: str, *arguments: str) -> None:
        """Run a snippet, which finds its arguments in ``sys.argv[1:]``.

        :param code: the snippet.
        :param arguments: its arguments.
        :raises RuntimeError: when it raises; with its traceback.
        """
        with self._turn:
            answer = self._ask(json.dumps([code, *arguments]))
            if not answer:
                self._end()
                raise RuntimeError(f"Airflow did not answer; see {self._log}")
            error = json.loads(answer)
            if error is not None:
                raise RuntimeError(f"Airflow refused:\n{error[-4000:]}")

    def _ask(self, line: str) -> str:
        process = self._started()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("it was started without pipes")
        try:
            print(line, file=process.stdin, flush=True)
        except BrokenPipeError:
            return ""
        readable, _, _ = select.select([process.stdout], [], [], _SECONDS)
        return process.stdout.readline() if readable else ""

    def stop(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _started(self) -> subprocess.Popen[str]:
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
                    start_new_session=True,  # Ctrl-C in the terminal is for the runner alone
                )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()
