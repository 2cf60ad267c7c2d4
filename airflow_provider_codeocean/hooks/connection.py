"""What a connection of type ``codeocean`` holds, read into a client's options."""

from __future__ import annotations

import math
import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowConfigException, conf

from airflow_provider_codeocean.api.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Connection

_PROXY_SCHEMES = frozenset({"http", "https"})
#: Where an authority ends.
_PATH = re.compile(r"[/?#]")
#: In an authority; what is in brackets is none.
_PORT = re.compile(r":[^\]]*$")


def client_options(connection: Connection, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Read a client's options from a connection.

    :param connection: the connection.
    :param extra: its extras; those of other names than below are left alone.
    :returns: keyword arguments of the clients.
    :raises ValueError: where something lacks or is wrong, saying what would be right.
    """
    name = f"connection {connection.conn_id!r}"
    if not (connection.host or "").strip():
        raise ValueError(f"{name} has no host: give the deployment's address (https://codeocean.example.com)")
    token = (connection.password or "").strip()
    if not token:
        raise ValueError(f"{name} has no password: give an access token of Code Ocean (cop_…)")
    options: dict[str, Any] = {"url": _url(connection), "token": Secret(token)}
    for key, read in _EXTRAS.items():
        value = extra.get(key)
        if value is None or value == "":  # a form sends an empty field as an empty string
            continue
        try:
            options[key] = read(value)
        except ValueError as error:
            raise ValueError(f"{name}: extra {key!r} must be {error}") from None
    if _all_require_tls():
        options["require_tls"] = True
    return options


def with_precedence(read: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Put options that are given over those of a connection; what is required of it stays required.

    :param read: the connection's.
    :param given: those that are given.
    :returns: keyword arguments of the clients.
    """
    options = {**read, **given, "token": Secret(given.get("token", read["token"]))}
    if read.get("require_tls"):
        options["require_tls"] = True
    return options


def _all_require_tls() -> bool:
    """Read from Airflow's configuration what holds for all connections."""
    try:
        return bool(conf.getboolean("codeocean", "require_tls", fallback=False))
    except (AirflowConfigException, ValueError) as error:
        raise ValueError(f"[codeocean] require_tls in Airflow's configuration: {error}") from None


def _url(connection: Connection) -> str:
    """Put scheme, host and port together, which a connection may hold apart (a URI) or in one (a form)."""
    host = str(connection.host).strip().rstrip("/")
    if "://" not in host:
        scheme = connection.schema if connection.schema in {"http", "https"} else "https"
        host = f"{scheme}://{host}"
    scheme, _, rest = host.partition("://")
    authority = _PATH.split(rest, maxsplit=1)[0]
    path = rest.removeprefix(authority)
    if _is_ipv6(authority):  # as Airflow reads it from a URI
        authority = f"[{authority}]"
    if connection.port and not _PORT.search(authority):
        authority = f"{authority}:{connection.port}"
    return f"{scheme}://{authority}{path}"


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _verify(value: Any) -> bool | str:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value.strip())
    if isinstance(value, bool):
        return value
    raise ValueError(f"true, false or the path of certificates to trust, got {value!r}")


def _timeout(value: Any) -> float:
    seconds = _seconds(value)
    if not 0 < seconds < math.inf:
        raise ValueError(f"a number of seconds greater than 0, got {value!r}")
    return seconds


def _token_grace(value: Any) -> float:
    seconds = _seconds(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a number of seconds, 0 or more, got {value!r}")
    return seconds


def _seconds(value: Any) -> float:
    """Read a number, NaN where it is none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan


def _proxy(value: Any) -> str:
    """Read a proxy's address; it may hold a password, so that an error does not repeat it."""
    try:
        address = urlsplit(value.strip())
        usable = address.scheme in _PROXY_SCHEMES and address.hostname and address.port != 0
    except (AttributeError, ValueError):
        usable = False
    if not usable:
        raise ValueError("the address of an HTTP proxy, such as http://proxy.example.com:3128")
    return str(value).strip()


def _require_tls(value: Any) -> bool:
    required = {"true": True, "false": False}.get(str(value).strip().lower())
    if required is None:
        raise ValueError(f"true or false, got {value!r}")
    return required


_EXTRAS: dict[str, Callable[[Any], Any]] = {
    "verify": _verify,
    "timeout": _timeout,
    "proxy": _proxy,
    "require_tls": _require_tls,
    "token_grace": _token_grace,
}
