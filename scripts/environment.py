"""The surroundings of a real Airflow: its version, its environment variables, its ports and its home."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Outside the range that systems take outgoing connections' ports from: a port stays free until it is used.
_PORTS = range(20000, 30000)
_MARKER = ".made-by-real-airflow"


def airflow_version(python: str) -> tuple[int, ...]:
    """Return the version of the Airflow that an interpreter has, as (major, minor, patch).

    :param python: the interpreter.
    :raises RuntimeError: when it has none.
    """
    if python == sys.executable:
        text = version("apache-airflow")
    else:
        code = "from importlib.metadata import version; print(version('apache-airflow'))"
        done = subprocess.run(
            [python, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{python} has no Airflow: {done.stderr[-500:]}")
        text = done.stdout.strip()
    return tuple(int(part) for part in text.split(".")[:3])


def free_ports(count: int) -> list[int]:
    """Return different TCP ports of this machine that nobody listens on.

    :param count: how many.
    :raises RuntimeError: when there are none.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, k=500):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise RuntimeError(
        f"fewer than {count} free ports among 500 tried between {_PORTS.start} and {_PORTS.stop}"
    )


def _is_free(port: int) -> bool:
    for address in ("127.0.0.1", ""):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def component_environment(home: Path, python: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Airflow's processes: this process's own, with another Airflow.

    :param home: the AIRFLOW_HOME.
    :param python: the interpreter; its directory comes first on the PATH.
    :param settings: Airflow's configuration as environment variables.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "PYTEST_", "COV_CORE"))
    }
    path = os.pathsep.join([str(Path(python).parent), inherited.get("PATH", os.defpath)])
    local = "127.0.0.1,localhost"
    no_proxy = ",".join(filter(None, [inherited.get("NO_PROXY") or inherited.get("no_proxy"), local]))
    return {
        **inherited,
        **settings,
        "AIRFLOW_HOME": str(home),
        "PATH": path,
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
    }


def make_home(home: Path) -> None:
    """Make an empty AIRFLOW_HOME, in place of an earlier one.

    :param home: the directory.
    :raises RuntimeError: when it holds files that did not come from here; they are left alone.
    """
    marker = home / _MARKER
    if marker.exists():
        shutil.rmtree(home)
    elif home.exists() and any(home.iterdir()):
        raise RuntimeError(f"{home} is not empty and was not made for a test run: it is left alone")
    (home / "logs").mkdir(parents=True)
    (home / "plugins").mkdir()
    marker.touch()
