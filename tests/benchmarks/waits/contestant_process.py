"""Run one contestant: ``python -m tests.benchmarks.waits.contestant_process NAME N SEED URL``."""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.benchmarks.waits.contestants import CONTESTANTS

#: Between how many seconds after the start the data assets become ready.
FIRST_READY_SECONDS, LAST_READY_SECONDS = 5.0, 35.0


def call_server(url: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the server."""
    data = None if body is None else json.dumps(body).encode()
    context = ssl._create_unverified_context() if url.startswith("https") else None
    with urllib.request.urlopen(url, data, timeout=120, context=context) as answer:
        return json.loads(answer.read())


def main() -> None:
    """Wait, and print what it cost as a line of JSON."""
    name, n, seed, url = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    run = CONTESTANTS[name](url)
    ready_in: dict[str, float] = call_server(
        f"{url}/bench/assets",
        {"count": n, "seed": seed, "first": FIRST_READY_SECONDS, "last": LAST_READY_SECONDS},
    )
    started = call_server(f"{url}/bench/start", {})
    noticed: dict[str, float] = {}
    failed: dict[str, str] = {}

    def notice(asset_id: str, error: str | None) -> None:
        if error is None:
            noticed[asset_id] = time.monotonic()
        else:
            failed[asset_id] = error

    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    memory, cpu = _read_process_kilobytes("VmRSS"), time.process_time()
    late = run(list(ready_in), notice)
    cpu = time.process_time() - cpu
    latencies = sorted(at - started - ready_in[asset_id] for asset_id, at in noticed.items())
    print(
        json.dumps(
            {
                "cpu": cpu,
                "memory": (_read_process_kilobytes("VmHWM") - memory) / 1024,
                "noticed": len(noticed),
                "failed": n - len(noticed),
                "errors": sorted(set(failed.values()))[:3],
                "latency": [_quantile(latencies, part) for part in (0.5, 0.95, 1.0)],
                "lag": max(late, default=None),
                "seconds": max(noticed.values(), default=started) - started,
            }
        )
    )


def _read_process_kilobytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)


def _quantile(values: list[float], fraction: float) -> float | None:
    return values[round(fraction * (len(values) - 1))] if values else None


if __name__ == "__main__":
    main()
