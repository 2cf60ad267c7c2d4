"""Parse a connection of type ``codeocean`` into the options of a client."""

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
#: Sockets reject timeouts of more than some years.
_MAX_TIMEOUT_SECONDS = 86_400
#: Maximum length of an invalid value in an error message.
_MAX_REPR_CHARACTERS = 100
#: Prefix of extras in old versions of Airflow's connection form.
_FORM_PREFIX = "extra__codeocean__"
_AUTHORITY_END_PATTERN = re.compile(r"[/?#]")
#: A port at the end of an authority, but not the last group of an IPv6 address in brackets.
_PORT_PATTERN = re.compile(r":[^\]:]*$")
#: Unknown extras that were reported: the id of the connection, followed by the names.
_reported_extras: set[tuple[str, ...]] = set()


def check_extra(connection: Connection) -> None:
    """Raise ValueError if ``extra`` is not a JSON object: Airflow would ignore it."""
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


def parse_client_options(connection: Connection, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a client for a connection.

    :param connection: the connection.
    :param extra: its extras. Unknown extras are ignored with a warning, once per connection and process.
    :returns: keyword arguments of the clients.
    :raises ValueError: if a field is missing or invalid.
    """
    name = f"connection {connection.conn_id!r}"
    if not (connection.host or "").strip():
        raise ValueError(f"{name} has no host: give the deployment's address (https://codeocean.example.com)")
    token = (connection.password or "").strip()
    if not token:
        raise ValueError(f"{name} has no password: give an access token of Code Ocean (cop_…)")
    if not token.isprintable():
        raise ValueError(f"{name}: password must be an access token (cop_…), without line breaks in it")
    options: dict[str, Any] = {"url": _build_url(connection), "token": Secret(token), "name": name}
    for key, value in _known_extras(connection.conn_id, extra).items():
        try:
            options[key] = _EXTRA_PARSERS[key](value)
        except ValueError as error:
            raise ValueError(f"{name}: extra {key!r} must be {error}") from None
    if _is_tls_required_globally():
        options["require_tls"] = True
    return options


def merge_options(connection_options: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Override options of a connection, except that ``require_tls`` cannot be turned off."""
    options = {
        **connection_options,
        **overrides,
        "token": Secret(overrides.get("token", connection_options["token"])),
    }
    if connection_options.get("require_tls"):
        options["require_tls"] = True
    return options


def _known_extras(conn_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known extras that are not empty, and log the names of unknown ones."""
    unknown = sorted(key for key in extra if key.removeprefix(_FORM_PREFIX) not in _EXTRA_PARSERS)
    if unknown and (conn_id, *unknown) not in _reported_extras:
        _reported_extras.add((conn_id, *unknown))
        log.warning(
            "Connection %r has unknown extras, which are ignored: %s. The known extras are %s",
            conn_id,
            ", ".join(map(_truncated_repr, unknown)),
            ", ".join(map(repr, _EXTRA_PARSERS)),
        )
    values = {key: extra.get(key, "") for name in _EXTRA_PARSERS for key in (_FORM_PREFIX + name, name)}
    # Forms send empty fields as empty strings. A name without the prefix takes precedence.
    return {key.removeprefix(_FORM_PREFIX): value for key, value in values.items() if value not in (None, "")}


def _is_tls_required_globally() -> bool:
    try:
        return bool(conf.getboolean("codeocean", "require_tls", fallback=False))
    except (AirflowConfigException, ValueError) as error:
        raise ValueError(f"[codeocean] require_tls in Airflow's configuration: {error}") from None


def _build_url(connection: Connection) -> str:
    """Join scheme, host, and port. A URI separates them; the form has one field for all."""
    host = str(connection.host).strip()
    if "://" not in host:
        scheme = connection.schema if connection.schema in {"http", "https"} else "https"
        host = f"{scheme}://{host}"
    scheme, _, rest = host.partition("://")
    authority = _AUTHORITY_END_PATTERN.split(rest, maxsplit=1)[0]
    path = rest.removeprefix(authority)
    if _is_ipv6(authority):  # Airflow removes the brackets when it parses a URI
        authority = f"[{authority}]"
    if connection.port and not _PORT_PATTERN.search(authority):
        authority = f"{authority}:{connection.port}"
    return f"{scheme}://{authority}{path}"


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _parse_verify(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isprintable():
        return {"true": True, "false": False}.get(value.strip().lower(), value.strip())
    raise ValueError(f"true, false or the path of certificates to trust, got {_truncated_repr(value)}")


def _parse_timeout(value: Any) -> float:
    seconds = _parse_seconds(value)
    if not 0 < seconds <= _MAX_TIMEOUT_SECONDS:
        raise ValueError(
            f"a number of seconds greater than 0, {_MAX_TIMEOUT_SECONDS} at most, "
            f"got {_truncated_repr(value)}"
        )
    return seconds


def _parse_token_grace_period(value: Any) -> float:
    seconds = _parse_seconds(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a number of seconds, 0 or more, got {_truncated_repr(value)}")
    return seconds


def _parse_seconds(value: Any) -> float:
    """Return a number, or NaN for any other value."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _parse_proxy(value: Any) -> str:
    """Return the address of a proxy. Errors do not contain it, because it may include a password."""
    try:
        address = urlsplit(value.strip())
        usable = address.scheme in _PROXY_SCHEMES and address.hostname and address.port != 0
    except (AttributeError, ValueError):
        usable = False
    if not usable:
        raise ValueError("the address of an HTTP proxy, such as http://proxy.example.com:3128")
    return str(value).strip()


def _parse_require_tls(value: Any) -> bool:
    required = {"true": True, "false": False}.get(str(value).strip().lower())
    if required is None:
        raise ValueError(f"true or false, got {_truncated_repr(value)}")
    return required


def _truncated_repr(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _MAX_REPR_CHARACTERS else f"{shown[:_MAX_REPR_CHARACTERS]}…"


_EXTRA_PARSERS: dict[str, Callable[[Any], Any]] = {
    "verify": _parse_verify,
    "timeout": _parse_timeout,
    "proxy": _parse_proxy,
    "require_tls": _parse_require_tls,
    "token_grace_period": _parse_token_grace_period,
}
