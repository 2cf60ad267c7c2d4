"""The lock files pin everything, and say nothing of where it was found."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent
LOCKS = sorted((CHECKOUT / "locks").glob("airflow-*.txt"))
CLUSTER = CHECKOUT / "locks" / "cluster-3.3.txt"
PIN = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ;@/]+( ; [^@/]+)?")


def pins(lock: Path) -> dict[str, str]:
    """What a lock file pins: name and version."""
    return dict(line.split(" ; ")[0].split("==") for line in lock.read_text().splitlines())


def test_lock_files_exist_for_each_airflow():
    assert [path.stem for path in LOCKS] == [
        f"airflow-{release}" for release in ("2.11-lowest", "2.11", "3.0", "3.1", "3.2", "3.3", "3.4")
    ]


@pytest.mark.parametrize("lock", [*LOCKS, CLUSTER], ids=lambda path: path.stem)
def test_lock_file_lines_are_all_pins(lock):
    lines = lock.read_text().splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_lock_file_pins_all_required_packages(lock):
    release = lock.stem.removeprefix("airflow-").removesuffix("-lowest")
    names = {line.partition("==")[0]: line for line in lock.read_text().splitlines()}
    assert names["apache-airflow"].startswith(f"apache-airflow=={release}.")
    assert {"uv", "hatchling", "pytest", "codeocean", "ruff", "mypy"} <= names.keys()


def test_cluster_lock_has_the_tested_versions():
    cluster, tested = pins(CLUSTER), pins(CHECKOUT / "locks" / "airflow-3.3.txt")
    assert {"apache-airflow-providers-celery", "asyncpg", "psycopg2-binary", "redis", "uv"} <= cluster.keys()
    assert {name for name in cluster.keys() & tested.keys() if cluster[name] != tested[name]} == set()


@pytest.mark.parametrize("release", ["2.11.2", "3.3.2"])
def test_find_python_without_working_interpreter_fails(tmp_path, release):
    real = subprocess.run(
        [CHECKOUT / "scripts/find_python", release], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()
    assert real
    for name in ("python3.13", "python3.12", "python3.11", "python3.14", "python3", "python"):
        shim = tmp_path / name
        shim.write_text("#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", CHECKOUT / "scripts/find_python", release],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert f"Airflow {release} needs Python 3.11 to 3." in done.stderr
