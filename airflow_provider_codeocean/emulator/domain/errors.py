"""What the emulator refuses, and how it says so: `{"message": …}` with a status of the documentation."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn


class ApiError(Exception):
    """A request that is answered with an error.

    :param status: HTTP status.
    :param message: what is wrong, for people.
    :param data: further fields of the body.
    """

    def __init__(self, status: int, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **(data or {})}


def bad_request(message: str) -> NoReturn:
    """Refuse what the documentation does not allow.

    :param message: what is wrong and with which field.
    :raises ApiError: always, with status 400.
    """
    raise ApiError(400, message)


def forbidden(message: str) -> NoReturn:
    """Refuse what the token may see but not do.

    :param message: what is missing.
    :raises ApiError: always, with status 403.
    """
    raise ApiError(403, message)


def not_found(what: str, object_id: str) -> NoReturn:
    """Refuse what does not exist, or must not be known to exist.

    :param what: the kind of thing, as in "data asset".
    :param object_id: what was asked for.
    :raises ApiError: always, with status 404.
    """
    raise ApiError(404, f"{what} {object_id!r} not found")


def describe_violations(violations: Sequence[Any]) -> str:
    """Say what pydantic found wrong.

    :param violations: the items of `ValidationError.errors()`.
    :returns: one line, each violation with the name of its field.
    """
    return "; ".join(
        f"{_field(violation['loc'])}: {violation['msg'].removeprefix('Value error, ')}"
        for violation in violations
    )


def _field(location: Sequence[str | int]) -> str:
    # The first part of a request's location only says where the field was sent.
    parts = location[1:] if location and location[0] in {"body", "query", "path"} else location
    return ".".join(str(part) for part in parts) or "body"
