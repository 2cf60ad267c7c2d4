"""A process that downloads, and a server of its own kind: its one file is made up while it is sent."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BYTES_PER_MIB = 1024 * 1024
CHUNK = bytes(range(256)) * 4096


class Handler(BaseHTTPRequestHandler):
    """Answers as Code Ocean does for a computation with one file, and sends that file."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        size = self.server.size
        self.send_json({"items": [{"name": "big", "path": "big", "type": "file", "size": size}]})

    def do_GET(self):
        if self.path != "/big":
            self.send_json({"download_url": f"{self.server.url}/big"})
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.size))
        self.end_headers()
        for _ in range(self.server.size // len(CHUNK)):
            self.wfile.write(CHUNK)

    def send_json(self, body):
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


class GeneratingServer(ThreadingHTTPServer):
    """Serves a file of some size that is nowhere."""

    daemon_threads = True

    def __init__(self, size):
        super().__init__(("127.0.0.1", 0), Handler)
        self.size = size
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def measure_download(computation_id, target):
    """Download in this process, and tell by how many MiB its memory grew at the most."""
    import resource

    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

    hook = CodeOceanHook()
    hook.client  # noqa: B018 - what importing takes is not what downloading takes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = hook.download_files(target, computation_id=computation_id, max_parallel=1)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(
        json.dumps({"fetched": done.downloaded, "bytes": done.bytes, "grown": grown / 1024}) + "\n"
    )


if __name__ == "__main__":
    measure_download(*sys.argv[1:])
