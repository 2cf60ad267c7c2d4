"""The end of what a computation has printed: of the file ``output`` among its results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.text import to_printable
from airflow_provider_codeocean.files.source import FileSource

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.client import CodeOceanClient

_COLOR = re.compile(r"\x1b\[[0-9;]{0,20}m")

OUTPUT_PATH = "output"
#: Lines to return, and the characters that one of them may have.
MAX_LINES = 50
_MAX_LINE_LENGTH = 500
#: Bytes from the end of the file to request.
_TAIL_BYTES = 32 * 1024
#: Bytes to read if the host sends the whole file nevertheless.
_MAX_BYTES = 16 * 1024 * 1024


def read_output_tail(client: CodeOceanClient, computation_id: str) -> list[str]:
    """Read the last lines that a computation has printed. Of a pipeline, they are those of Nextflow.

    Source: ``POST computations/{id}/results``, ``GET computations/{id}/results/urls``, and a request with
    ``Range`` to the host of the file.

    :param client: the client.
    :param computation_id: id of the computation.
    :returns: at most :data:`MAX_LINES` lines that are not blank, without control characters; empty if there
        is no such file, or it is large and its host does not send parts of files.
    :raises CodeOceanError: if Code Ocean or the host of the file does not provide it.
    """
    source = FileSource(client, computation_id=computation_id)
    file = next((file for file in source.iter_files(recursive=False) if file.path == OUTPUT_PATH), None)
    if file is None:
        return []
    start = max(0, (file.size or 0) - _TAIL_BYTES)
    tail, read_bytes = b"", 0
    with client.storage.read(source.get_url(OUTPUT_PATH), start) as response:
        for chunk in response.chunks:
            read_bytes += len(chunk)
            if read_bytes > _MAX_BYTES:
                return []
            tail = (tail + chunk)[-_TAIL_BYTES:]
    is_cut_off = response.start + read_bytes > len(tail)
    lines = tail.decode(errors="replace").split("\n")[is_cut_off:]
    return [shown for line in lines if (shown := _to_shown(line))][-MAX_LINES:]


def _to_shown(line: str) -> str:
    # A progress bar returns to the start of its line: its last state counts.
    text = to_printable(_COLOR.sub("", line.rstrip().rpartition("\r")[2]).expandtabs())
    return text if len(text) <= _MAX_LINE_LENGTH else f"{text[: _MAX_LINE_LENGTH - 1]}…"
