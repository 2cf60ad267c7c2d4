"""Connections that others can read on their way: told of once, or refused."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

from airflow_provider_codeocean.api.address import origin

log = logging.getLogger(__name__)

_told: set[tuple[str | None, str]] = set()


def check_encryption(url: str, *, verify: bool = True, required: bool = False) -> None:
    """Warn of an address to which a connection is not encrypted or not verified, or refuse it.

    Loopback addresses are taken as they are: nobody is in between. The warning comes once in a process for
    each address.

    :param url: the address; its path and query are not repeated.
    :param verify: whether the certificate is verified.
    :param required: whether to refuse it.
    :raises ValueError: where it is refused.
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
    address = origin(url)
    if required:
        raise ValueError(f"the connection to {address} {problem} (require_tls is set)")
    if (address, problem) not in _told:
        _told.add((address, problem))
        log.warning("The connection to %s %s. Whoever is in between can read it", address, problem)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone.

    :param host: name or IP address.
    :returns: whether it is.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
