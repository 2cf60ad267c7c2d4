"""Error responses: `{"message": …}` with a status from the documentation."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn


class ApiError(Exception):
    """A request fails with an error response.

    :param status: HTTP status.
    :param message: the problem, in plain text.
    :param extra_fields: additional fields of the body.
    """

    def __init__(self, status: int, message: str, extra_fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **(extra_fields or {})}


def raise_bad_request(message: str) -> NoReturn:
    """Reject an invalid request.

    :param message: the problem and the field.
    :raises ApiError: always, with status 400.
    """
    raise ApiError(400, message)


def raise_forbidden(message: str) -> NoReturn:
    """Reject an action that the token may not perform.

    :param message: the missing scope or role.
    :raises ApiError: always, with status 403.
    """
    raise ApiError(403, message)


def raise_not_found(kind: str, object_id: str) -> NoReturn:
    """Reject a request for an object that does not exist, or that the caller must not see.

    :param kind: kind of the object, such as "data asset".
    :param object_id: the requested id.
    :raises ApiError: always, with status 404.
    """
    raise ApiError(404, f"{kind} {object_id!r} not found")


def format_validation_errors(errors: Sequence[Any]) -> str:
    """Format pydantic's validation errors.

    :param errors: the items of `ValidationError.errors()`.
    :returns: one line with the field and message of each error.
    """
    return "; ".join(
        f"{_format_location(violation['loc'])}: {violation['msg'].removeprefix('Value error, ')}"
        for violation in errors
    )


def _format_location(location: Sequence[str | int]) -> str:
    # The first part of a location names the part of the request (body, query).
    parts = location[1:] if location and location[0] in {"body", "query", "path"} else location
    return ".".join(str(part) for part in parts) or "body"
