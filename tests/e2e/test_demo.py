"""``make demo`` as its user meets it: a process with output, an exit code and, afterwards, nothing left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.http_json import request_json
from scripts.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).parent.parent.parent


def _hear_ctrl_c() -> None:
    """Do not ignore SIGINT, as what a shell has started in the background does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class RunningDemo:
    """The demo in a home of its own, its output as it comes, and all its processes."""

    def __init__(self, home: Path, arguments: tuple[str, ...], find: Callable) -> None:
        self.home = home
        self._find = find
        self._output = home.parent / "output.txt"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.demo", "--home", str(home), *arguments],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - of no thread that holds a lock
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def left(self) -> list:
        return self._find(self.home.parent)

    def wait_for(self, text: str, timeout: float = 120) -> None:
        def told() -> bool:
            assert self.process.poll() is None or text in self.output, self.output
            return text in self.output

        wait_until(told, description=f"{text!r} in the demo's output", timeout=timeout)

    def expect_exit(self, code: int, timeout: float = 180) -> None:
        assert self.process.wait(timeout) == code, self.output
        wait_until(lambda: not self.left(), description="all its processes to be gone", timeout=60)


@pytest.fixture
def demo(tmp_path: Path, processes_in: Callable) -> Iterator[Callable[..., RunningDemo]]:
    started: list[RunningDemo] = []

    def start(*arguments: str) -> RunningDemo:
        started.append(RunningDemo(tmp_path / "home", arguments, processes_in))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def port_8080_taken() -> Iterator[None]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else has it: as good
            listener.bind(("", 8080))
            listener.listen()
        yield


@pytest.mark.usefixtures("port_8080_taken")
def test_demo_prints_result(demo):
    running = demo()
    running.expect_exit(0)

    assert re.search(r"capture +deferred\n", running.output)
    assert re.search(r"read_back +success\n", running.output)
    assert re.search(r"Data asset +results_\S+ \([0-9a-f-]{36}\)\n", running.output)
    assert re.search(r"State +ready, [1-9]\d* files, [1-9]\d* bytes\n", running.output)
    assert re.search(r"Link +http://127\.0\.0\.1:\d+/data-assets/[0-9a-f-]{36}\b", running.output)
    assert re.search(r"Waiting +\d+\.\d s in the triggerer", running.output)
    assert re.search(r"Requests +[1-9]\d* ", running.output)
    assert "\x1b" not in running.output


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_demo_stopped_early_leaves_no_process(demo, number, code):
    running = demo()
    running.wait_for("Starting Airflow ")
    wait_until(lambda: len(running.left()) > 3, description="Airflow's processes", timeout=60)
    running.process.send_signal(number)
    running.expect_exit(code, timeout=90)


@pytest.mark.skipif(version("apache-airflow").startswith("2."), reason="Airflow 2 has another API")
def test_demo_with_failed_capture_prints_reason_and_keeps_ui(demo):
    running = demo("--ui", "--computation-id", "00000000-0000-4000-8000-000000000000")
    running.wait_for("(the emulator)")

    assert "The task capture failed" in running.output
    assert "404" in running.output
    assert "computation '00000000-0000-4000-8000-000000000000' not found" in running.output
    assert f"Logs: {os.path.relpath(running.home / 'logs', CHECKOUT)}" in running.output
    url = re.search(r"Airflow +(http://127\.0\.0\.1:\d+) ", running.output)[1]
    token = request_json("GET", f"{url}/auth/token")["access_token"]
    connections = request_json("GET", f"{url}/api/v2/connections", authorization=f"Bearer {token}")
    assert [each["connection_id"] for each in connections["connections"]] == ["codeocean_default"]
    assert running.process.poll() is None

    running.process.send_signal(signal.SIGINT)
    running.expect_exit(1, timeout=90)
