"""Keeps requests and signed URLs out of the logs of the HTTP library, httpx or httpx2."""

from __future__ import annotations

import logging
from contextvars import ContextVar

#: True while a signed URL is read. Whoever has the URL can read the file, so no library may log it.
is_reading_signed_url = ContextVar("is_reading_signed_url", default=False)
_silenced_url_prefixes: set[str] = set()


class _RequestLogFilter(logging.Filter):
    """Drops all lines about signed URLs, and the INFO line that httpx logs for each API request."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not is_reading_signed_url.get() and (
            record.levelno > logging.INFO
            or not any(str(arg).startswith((*_silenced_url_prefixes,)) for arg in record.args or ())
        )


#: All loggers of httpx and httpx2, of which this package uses one.
LOGGER_NAMES = (
    "httpx",
    "httpx2",
    *(
        f"{transport}.{part}"
        for transport in ("httpcore", "httpcore2")
        for part in ("connection", "http11", "http2", "proxy", "socks")
    ),
)
for _name in LOGGER_NAMES:
    logging.getLogger(_name).addFilter(_RequestLogFilter())


def silence_request_logs(url_prefix: str) -> None:
    """Drop the log lines of httpx about requests to URLs that start with ``url_prefix``."""
    _silenced_url_prefixes.add(url_prefix)
