"""TLS contexts and proxies."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.errors import CertificatesNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def ssl_context(verify: bool | str, *, is_encrypted: bool = True) -> ssl.SSLContext:
    """Return the TLS context for API requests.

    :param verify: False to verify nothing, or the path of the only certificates to trust.
    :param is_encrypted: whether the address has https. If not, the context is not used, and trusts nobody:
        loading the public authorities takes 20 ms of CPU time in each task's process.
    :returns: the context.
    :raises CertificatesNotFound: if there are no certificates at the path.
    """
    if not isinstance(verify, bool):
        return _with_path(verify, ssl.create_default_context)
    if not is_encrypted:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    is_customized = os.getenv("SSL_CERT_FILE") or os.getenv("SSL_CERT_DIR")
    return _new_default_context() if verify and is_customized else _cached_default_context(verify)


def storage_ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context for signed URLs: a path adds to the authorities that are trusted by default.

    A deployment whose certificate is from a private authority may keep its files in a public cloud.

    :param verify: see :func:`ssl_context`.
    :returns: the context.
    :raises CertificatesNotFound: if there are no certificates at the path, or at the one in the environment.
    """
    if isinstance(verify, bool):
        return ssl_context(verify)
    context = _new_default_context()
    _with_path(verify, context.load_verify_locations)
    return context


def build_proxy(url: str | None, verify: bool | str) -> httpx.Proxy | None:
    """Return a proxy. If it uses TLS, its certificate is always verified.

    :param url: the proxy's address, or None.
    :param verify: see :func:`ssl_context`; a path adds to the authorities that are trusted.
    :returns: the proxy, or None.
    :raises ValueError: if the address is invalid. The message omits it, because it may contain a password.
    """
    if url is None:
        return None
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("proxy must be the address of an HTTP proxy") from None
    context = storage_ssl_context(verify or True) if address.scheme == "https" else None
    return httpx.Proxy(address, ssl_context=context)


def _with_path(path: str, load: Callable[..., T]) -> T:
    try:
        return load(capath=path) if Path(path).is_dir() else load(cafile=path)
    except OSError as error:  # missing, unreadable, or without certificates
        raise CertificatesNotFound(
            f"verify must be true, false or the path of certificates to trust, got {path!r}: {error}"
        ) from error


def _new_default_context(*, verify: bool = True) -> ssl.SSLContext:
    """Create a context that trusts the path in OpenSSL's environment variables, or public authorities."""
    try:
        return httpx.create_ssl_context(verify=verify)
    except OSError as error:
        raise CertificatesNotFound(
            "the environment variable SSL_CERT_FILE or SSL_CERT_DIR must be the path of certificates to "
            f"trust: {error}"
        ) from error


@lru_cache  # loading the public authorities takes 20 ms
def _cached_default_context(verify: bool) -> ssl.SSLContext:
    return _new_default_context(verify=verify)
