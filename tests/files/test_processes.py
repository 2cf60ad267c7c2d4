"""Downloads in processes of their own: killed in the middle, and their memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.files.local import CHECKPOINT_BYTES
from tests.files.conftest import read_tree
from tests.files.download_memory import BYTES_PER_MIB, GeneratingServer

#: MiB above the start that a download may take.
MEMORY = 150
CHECKOUT = Path(__file__).parents[2]


def start(computation_id, target):
    command = [sys.executable, "-m", "tests.files.download_memory", computation_id, str(target)]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


def outcome(process):
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def kill(process):
    process.kill()
    process.communicate(timeout=30)


def test_download_retry_after_kill_fetches_only_missing_files(results, tmp_path):
    files = {f"{number}": bytes([number]) * 1000 for number in range(6)}
    for path, content in files.items():
        results.put(path, content)
    held = results.server.faults.add(FaultRule(path="/storage/*/4", kind="hold_before"))
    process = start(results.id, tmp_path)
    assert held.wait(held=1, timeout=60)
    kill(process)
    finished = [path for path in files if (tmp_path / path).exists()]
    assert finished == ["0", "1", "2", "3"]
    before = results.count_downloads()
    assert results.download(tmp_path).downloaded == 2
    assert results.count_downloads() - before == 2
    assert read_tree(tmp_path) == files


def test_download_retry_after_kill_continues_within_a_file(results, tmp_path):
    content = bytes(range(256)) * 4 * 1024 * 40
    results.put("big", content)
    results.server.faults.add(FaultRule(path="/storage/**", kind="slow_body", delay=6))
    process = start(results.id, tmp_path)
    deadline = time.monotonic() + 60
    while not any(name.endswith(".json") and text for name, text in read_tree(tmp_path).items()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill(process)
    results.server.faults.clear()
    (part,) = (text for name, text in read_tree(tmp_path).items() if name.endswith(".part"))
    assert CHECKPOINT_BYTES <= len(part) < len(content)
    assert results.download(tmp_path).downloaded == 1
    assert results.server.emulator.traffic.statuses["206"] == 1
    assert read_tree(tmp_path) == {"big": content}


@pytest.mark.long
def test_download_large_file_takes_little_memory(connect, tmp_path):
    size = 512 * BYTES_PER_MIB  # 2 GiB take as much, and half a minute on a machine that is busy
    with GeneratingServer(size) as server:
        connect(server.url, "cop_token")
        seen = outcome(start("c", tmp_path))
    assert (tmp_path / "big").stat().st_size == size
    (tmp_path / "big").unlink()
    assert (seen["fetched"], seen["bytes"]) == (1, size)
    assert seen["grown"] < MEMORY
