"""Prepare version, environment variables, ports, and home of a real Airflow."""

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

# Outside the range of ports for outgoing connections, so a free port stays free until it is used.
_PORT_RANGE = range(20000, 30000)
_MARKER_NAME = ".made-by-real-airflow"


def airflow_version(python: str) -> tuple[int, ...]:
    """Return the Airflow version of an interpreter, as (major, minor, patch).

    :raises RuntimeError: if it has no Airflow.
    """
    if python == sys.executable:
        text = version("apache-airflow")
    else:
        code = "from importlib.metadata import version; print(version('apache-airflow'))"
        completed = subprocess.run(
            [python, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if completed.returncode != 0:
            raise RuntimeError(f"{python} has no Airflow: {completed.stderr[-500:]}")
        text = completed.stdout.strip()
    return tuple(int(part) for part in text.split(".")[:3])


def find_free_ports(count: int) -> list[int]:
    """Return different free TCP ports.

    :raises RuntimeError: if there are not enough.
    """
    found: list[int] = []
    for port in random.sample(_PORT_RANGE, k=500):
        if len(found) == count:
            return found
        if _is_port_free(port):
            found.append(port)
    raise RuntimeError(
        f"fewer than {count} of 500 tested ports are free between {_PORT_RANGE.start} and {_PORT_RANGE.stop}"
    )


def _is_port_free(port: int) -> bool:
    for address in ("127.0.0.1", ""):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def build_component_environment(
    home: Path, python: str, airflow_options: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of Airflow's processes: that of this process, without its Airflow settings.

    :param home: the AIRFLOW_HOME.
    :param python: the interpreter, whose folder becomes the first one on the PATH.
    :param airflow_options: Airflow's configuration as environment variables.
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
        **airflow_options,
        "AIRFLOW_HOME": str(home),
        "PATH": path,
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
    }


def create_home(home: Path) -> None:
    """Create an empty AIRFLOW_HOME, or replace one that this function created.

    :raises RuntimeError: if the folder contains other files.
    """
    marker = home / _MARKER_NAME
    if marker.exists():
        shutil.rmtree(home)
    elif home.exists() and any(home.iterdir()):
        raise RuntimeError(f"{home} contains files of something else: choose an empty folder")
    (home / "logs").mkdir(parents=True)
    (home / "plugins").mkdir()
    marker.touch()
