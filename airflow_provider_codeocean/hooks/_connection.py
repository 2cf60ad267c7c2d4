"""Read a connection of type ``codeocean`` into the options of a client."""

from __future__ import annotations

import json
import logging
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

log = logging.getLogger(__name__)

_PROXY_SCHEMES = frozenset({"http", "https"})
#: The longest timeout, in seconds: sockets take no more than some years.
_MAX_TIMEOUT_SECONDS = 86_400
#: The most characters of a wrong value that an error shows.
_MAX_SHOWN = 100
#: Old versions of Airflow's form store an extra under its name with this prefix.
_FORM_PREFIX = "extra__codeocean__"
#: The first character after the authority of a URL.
_PATH = re.compile(r"[/?#]")
#: The port in an authority; an IPv6 address in brackets is none.
_PORT = re.compile(r":[^\]:]*$")
#: Connections whose unknown extras were reported, with the names of these.
_reported: set[tuple[str, ...]] = set()


def check_extra(connection: Connection) -> None:
    """Check that the field ``extra`` is a JSON object: Airflow reads anything else as no extras at all.

    :param connection: the connection.
    :raises ValueError: if it is not, which would drop ``require_tls`` silently.
    """
    if not connection.extra:
        return
    try:
        extra = json.loads(connection.extra)
    except (TypeError, ValueError, RecursionError):
        problem = "text that is not JSON"
    else:
        if isinstance(extra, dict):
            return
        problem = f"JSON of type {type(extra).__name__}"
    raise ValueError(
        f'connection {connection.conn_id!r}: extra must be a JSON object such as {{"timeout": 60}}, '
        f"got {problem}"
    )


def client_options(connection: Connection, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Read the options of a client from a connection.

    :param connection: the connection.
    :param extra: its extras. Unknown ones are ignored with a warning, once per connection and process.
    :returns: keyword arguments of the clients.
    :raises ValueError: if a field is missing or wrong; the message names the connection and the field.
    """
    name = f"connection {connection.conn_id!r}"
    if not (connection.host or "").strip():
        raise ValueError(f"{name} has no host: give the deployment's address (https://codeocean.example.com)")
    token = (connection.password or "").strip()
    if not token:
        raise ValueError(f"{name} has no password: give an access token of Code Ocean (cop_…)")
    if not token.isprintable():
        raise ValueError(f"{name}: password must be an access token (cop_…), without line breaks in it")
    options: dict[str, Any] = {"url": _url(connection), "token": Secret(token), "name": name}
    for key, value in _known_extras(connection.conn_id, extra).items():
        try:
            options[key] = _EXTRAS[key](value)
        except ValueError as error:
            raise ValueError(f"{name}: extra {key!r} must be {error}") from None
    if _all_require_tls():
        options["require_tls"] = True
    return options


def with_precedence(read: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Let given options override those of a connection, except that ``require_tls`` cannot be turned off.

    :param read: the options of the connection.
    :param given: the given options.
    :returns: keyword arguments of the clients.
    """
    options = {**read, **given, "token": Secret(given.get("token", read["token"]))}
    if read.get("require_tls"):
        options["require_tls"] = True
    return options


def _known_extras(conn_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known extras that are not empty, and warn about unknown ones; their values may be secret."""
    unknown = sorted(key for key in extra if key.removeprefix(_FORM_PREFIX) not in _EXTRAS)
    if unknown and (conn_id, *unknown) not in _reported:
        _reported.add((conn_id, *unknown))
        log.warning(
            "Connection %r has unknown extras, which are ignored: %s. The known extras are %s",
            conn_id,
            ", ".join(map(_shown, unknown)),
            ", ".join(map(repr, _EXTRAS)),
        )
    values = {key: extra.get(key, "") for name in _EXTRAS for key in (_FORM_PREFIX + name, name)}
    # A form sends an empty field as an empty string. The name without the prefix counts if both are given.
    return {key.removeprefix(_FORM_PREFIX): value for key, value in values.items() if value not in (None, "")}


def _all_require_tls() -> bool:
    """Read the setting that holds for all connections from Airflow's configuration."""
    try:
        return bool(conf.getboolean("codeocean", "require_tls", fallback=False))
    except (AirflowConfigException, ValueError) as error:
        raise ValueError(f"[codeocean] require_tls in Airflow's configuration: {error}") from None


def _url(connection: Connection) -> str:
    """Join scheme, host, and port, which a URI keeps apart and the form has in one field."""
    host = str(connection.host).strip()
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
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isprintable():
        return {"true": True, "false": False}.get(value.strip().lower(), value.strip())
    raise ValueError(f"true, false or the path of certificates to trust, got {_shown(value)}")


def _timeout(value: Any) -> float:
    seconds = _seconds(value)
    if not 0 < seconds <= _MAX_TIMEOUT_SECONDS:
        raise ValueError(
            f"a number of seconds greater than 0, {_MAX_TIMEOUT_SECONDS} at most, got {_shown(value)}"
        )
    return seconds


def _token_grace(value: Any) -> float:
    seconds = _seconds(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a number of seconds, 0 or more, got {_shown(value)}")
    return seconds


def _seconds(value: Any) -> float:
    """Read a number, NaN if it is none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _proxy(value: Any) -> str:
    """Read a proxy's address. It may hold a password, so that an error does not repeat it."""
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
        raise ValueError(f"true or false, got {_shown(value)}")
    return required


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…"


_EXTRAS: dict[str, Callable[[Any], Any]] = {
    "verify": _verify,
    "timeout": _timeout,
    "proxy": _proxy,
    "require_tls": _require_tls,
    "token_grace": _token_grace,
}
