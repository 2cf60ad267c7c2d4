"""Addresses without the parts that may grant access: path, query, and credentials."""

from __future__ import annotations

from urllib.parse import urlsplit


def origin(url: str) -> str | None:
    """Return the scheme, host, and port of an address.

    :param url: the address; https if it has no scheme.
    :returns: the origin; None if there is no host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    return f"{parts.scheme or 'https'}://{host}" + (f":{port}" if port else "")
