"""Addresses, told without what may open doors there: path, query and credentials."""

from __future__ import annotations

from urllib.parse import urlsplit


def origin(url: str) -> str | None:
    """Return no more of an address than its scheme, host and port.

    :param url: the address; https where it has no scheme.
    :returns: the part; None where there is no host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    return f"{parts.scheme or 'https'}://{host}" + (f":{port}" if port else "")
