"""TLS contexts and proxies."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

import httpx

from airflow_provider_codeocean.api.errors import NoCertificates


def stamp(verify: bool | str) -> tuple[str, int, int] | None:
    """Return what tells whether the certificates at a path were replaced.

    :param verify: what :func:`ssl_context` takes; True is the path that OpenSSL's environment variables name.
    :returns: the path, when it was written, in nanoseconds, and its bytes; None where there is no path, or
        nothing at it. Of a folder only files that come, go or are renamed count.
    """
    path = os.getenv("SSL_CERT_FILE") or os.getenv("SSL_CERT_DIR") if verify is True else verify
    if not path:
        return None
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return path, found.st_mtime_ns, found.st_size


def ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context, made once for the same certificates: that costs more than many requests.

    :param verify: False verifies nothing; a path is that of certificates to trust, and no others.
    :returns: the context.
    :raises NoCertificates: where there are none at the path.
    """
    return _ssl_context(verify, stamp(verify))


@lru_cache(maxsize=16)
def _ssl_context(verify: bool | str, _stamp: tuple[str, int, int] | None) -> ssl.SSLContext:
    if isinstance(verify, bool):
        return _usual_ssl_context(verify=verify)
    try:
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    except OSError as error:  # not there, not to be read, or no certificates
        raise NoCertificates(
            f"verify must be true, false or the path of certificates to trust, got {verify!r}: {error}"
        ) from error


def _usual_ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Make one that trusts what OpenSSL's environment variables name, or else the usual authorities."""
    try:
        return httpx.create_ssl_context(verify=verify)
    except OSError as error:
        raise NoCertificates(
            "the environment variable SSL_CERT_FILE or SSL_CERT_DIR must be the path of certificates to "
            f"trust: {error}"
        ) from error


def proxy_at(url: str | None, verify: bool | str) -> httpx.Proxy | None:
    """Return a proxy whose certificate, where it has one, is verified as those of hosts of files are.

    :param url: its address; None where there is none.
    :param verify: what :func:`ssl_context` takes. False is said of the server behind the proxy, not of it.
    :returns: the proxy.
    :raises ValueError: where it is no address; it is not repeated, because it may hold a password.
    """
    if url is None:
        return None
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("proxy must be the address of an HTTP proxy") from None
    trusted = storage_ssl_context(verify or True) if address.scheme == "https" else None
    return httpx.Proxy(address, ssl_context=trusted)


def storage_ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context for hosts of files: a path adds to the authorities that are trusted anyway.

    A deployment with a certificate of an authority of its own may keep its files with a public cloud.

    :param verify: what :func:`ssl_context` takes.
    :returns: the context.
    :raises NoCertificates: where there are none at the path, or where the environment says that some are.
    """
    context = ssl_context(verify)  # says what is wrong with the path
    return context if isinstance(verify, bool) else _storage_ssl_context(verify, stamp(verify), stamp(True))


@lru_cache(maxsize=16)
def _storage_ssl_context(verify: str, *_stamps: tuple[str, int, int] | None) -> ssl.SSLContext:
    context = _usual_ssl_context(verify=True)
    is_folder = Path(verify).is_dir()
    context.load_verify_locations(capath=verify if is_folder else None, cafile=None if is_folder else verify)
    return context
