"""Warn about connections that are not encrypted or not verified, or reject them."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

log = logging.getLogger(__name__)
_warned: set[tuple[str | None, str]] = set()


def url_origin(url: str) -> str | None:
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


def check_encryption(url: str, *, verify: bool = True, require_tls: bool = False) -> None:
    """Warn about a connection that is not encrypted or not verified, or reject it.

    Loopback addresses are accepted. The warning is logged once per process and address.

    :param url: the address; its path and query are not logged.
    :param verify: whether the certificate is verified.
    :param require_tls: reject the connection.
    :raises ValueError: if it is rejected.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return
    if parts.scheme == "http":
        problem = "is not encrypted: give an address with https"
    elif not verify:
        problem = "is not verified: do not set verify to false"
    else:
        return
    address = url_origin(url)
    if require_tls:
        raise ValueError(f"the connection to {address} {problem} (require_tls is set)")
    if (address, problem) not in _warned:
        _warned.add((address, problem))
        log.warning("The connection to %s %s. Others can read it", address, problem)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, without resolving its name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
