"""A computation with files on a host that misbehaves, at httpx's transport; pauses take no time."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.files import download as module
from airflow_provider_codeocean.files.download import Download
from airflow_provider_codeocean.files.source import FileSource, ListedFile

HTML_PAGE = b"<!doctype html><title>Please wait</title>"


class ResponseBody(httpx.SyncByteStream):
    """A body of unstated length, which may break off."""

    def __init__(self, *chunks, breaks=False):
        self.chunks = chunks
        self.breaks_off = breaks

    def __iter__(self):
        yield from self.chunks
        if self.breaks_off:
            raise httpx.ReadError("reset")


def html_page(request):
    """A proxy's page in place of the file."""
    return httpx.Response(200, headers={"Content-Type": "text/html"}, stream=ResponseBody(HTML_PAGE))


def range_start(request):
    return int(request.headers["range"][6:-1]) if "range" in request.headers else 0


def serve_file(content, *, breaks_after=None, ranges=True, check_if_range=True, **headers):
    """A file, or the requested rest of it; ``breaks_after`` a number of bytes, the connection breaks."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(request):
        start = range_start(request) if ranges else 0
        validators = {headers.get("ETag"), headers.get("Last-Modified")}
        if check_if_range and request.headers.get("if-range", headers.get("ETag")) not in validators:
            start = 0
        if start >= len(content):
            return httpx.Response(416)
        rest = content[start:]
        stated = {"Content-Length": str(len(rest)), **headers}
        if start:
            stated["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = ResponseBody(rest) if breaks_after is None else ResponseBody(rest[:breaks_after], breaks=True)
        return httpx.Response(206 if start else 200, headers=stated, stream=body)

    return answer


class FakeHost:
    """Answers requests for files one after the other, the last answer forever."""

    def __init__(self, *answers, listed=None, computation_id="c", url="https://co.test", retry_budget=60):
        self.responders = list(answers)
        self.requests = []
        self.clock = SimpleNamespace(now=0.0)
        self.client = CodeOceanClient(
            url, "cop_token", transport=httpx.MockTransport(self), timeout=1, retry_budget=retry_budget
        )
        self.source = FileSource(self.client, computation_id=computation_id)
        self.listed = listed

    def __call__(self, request):
        if request.url.path.endswith("/urls"):
            return httpx.Response(
                200, json={"download_url": f"https://files.test/{request.url.params['path']}"}
            )
        self.requests.append(request)
        answer = self.responders.pop(0) if len(self.responders) > 1 else self.responders[0]
        return answer(request)

    def download(self, target, size=None, *, files=None, **options):
        """Download a file ``f`` of this size, or other files, while pauses take no time."""
        files = [ListedFile("f", "f", size)] if files is None else files
        clock = self.clock

        class Pauses(threading.Event):
            def wait(self, timeout=None):
                clock.now += timeout or 0.0
                return self.is_set()

        time, module.time = module.time, SimpleNamespace(monotonic=lambda: clock.now)
        try:
            options = {"max_parallel": 1, "stop": Pauses(), **options}
            return Download(self.client, self.source, files, target, **options).run()
        finally:
            module.time = time

    @property
    def range_starts(self):
        return [range_start(request) for request in self.requests]
