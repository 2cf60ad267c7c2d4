"""Keeps httpx from writing a line for each of our requests into the task's log, where INFO is shown."""

from __future__ import annotations

import logging


class _Quiet(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.urls: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not any(
            str(arg).startswith(url) for arg in record.args or () for url in self.urls
        )


_quiet = _Quiet()
logging.getLogger("httpx").addFilter(_quiet)


def keep_quiet_about(url: str) -> None:
    """Let httpx write no more lines about requests to an address.

    :param url: what the addresses of the requests begin with.
    """
    _quiet.urls.add(url)
