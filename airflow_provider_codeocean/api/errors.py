"""What can go wrong, as one tree.

::

    CodeOceanError                      everything this package raises about Code Ocean
    ├── CodeOceanTransportError         no response of Code Ocean: unreachable, cut off, or a proxy's page
    │   ├── UnexpectedAnswer            a response, but not one of Code Ocean's API
    │   └── StorageRefused              the host of a file refuses the request: the signed URL has expired
    ├── CodeOceanApiError               Code Ocean's own error response
    │   ├── BadRequest                  400: the request was wrong
    │   ├── Unauthorized                401: no valid token
    │   ├── Forbidden                   403: the token lacks a scope, or its user a role
    │   ├── NotFound                    404: not there, or not for this user to see
    │   ├── RateLimited                 429: asked too much; ``retry_after`` may say when to come back
    │   └── ServerError                 5xx
    ├── DataAssetFailed                 a data asset ended in state ``failed``
    ├── TransferFailed                  a transfer ended with an error
    ├── ComputationFailed               a computation ended without success
    ├── DownloadFailed                  a file did not arrive whole, or could not be written
    ├── FilesElsewhere                  the files of a data asset are not in Code Ocean
    ├── AlreadyExists                   what was to be made is there, and was not to be
    └── WaitTimeout                     what was awaited did not end in time

A wrong argument or setting is a ``ValueError``, of which ``NoCertificates`` is one: that may pass.

Three things stay apart everywhere: the work failed, time ran out, the server could not be reached.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_codeocean.api.text import printable

#: Seconds after a submission during which Code Ocean's 404 for the new job means "not visible yet".
VISIBILITY_SECONDS = 300.0


class CodeOceanError(Exception):
    """Base of all errors about Code Ocean. Its text has no control characters, whatever a server sent.

    :ivar server: the address of the deployment, with the name of the connection if it has one; empty if the
        error is not about a request.
    :ivar maybe_applied: whether the server may have acted on the request although this was raised. Always
        false for a request that only reads.
    :ivar transient: whether trying again may help.
    """

    server: str = ""
    maybe_applied: bool = False
    transient: bool = True

    def __str__(self) -> str:
        text = printable(self._text())
        return f"{text} [{self.server}]" if self.server else text

    def _text(self) -> str:
        return super().__str__()


class CodeOceanTransportError(CodeOceanError):
    """Code Ocean did not respond: it was not reached, or the response was cut off or is not Code Ocean's.

    :param message: what happened.
    :param maybe_applied: whether the request may have reached Code Ocean and been carried out.
    :param transient: whether retrying may help; false for a certificate that is not trusted.
    :param status: HTTP status code, 0 without a response.
    :param retry_after: seconds after which the sender of the response asked for a retry, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        maybe_applied: bool = False,
        transient: bool = True,
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied
        self.transient = transient
        self.status = status
        self.retry_after = retry_after


class UnexpectedAnswer(CodeOceanTransportError):
    """A response that is not shaped like one of Code Ocean's API: a proxy's page, a redirect, half a body.

    It says nothing about the resource that was requested.
    """


class StorageRefused(CodeOceanTransportError):
    """The host of a file refuses the request: the signed URL has expired, or the host is in trouble.

    The message contains neither the URL nor the body: both can contain the signature.
    """


class CodeOceanApiError(CodeOceanError):
    """Code Ocean's own error response.

    :param status: HTTP status code.
    :param message: the ``message`` of the body. For 401, 429, and 5xx, which a proxy may send as well, a
        summary of any other body.
    :param data: the whole body if it is JSON, else None.
    :param method: HTTP method of the request.
    :param path: path of the request below ``/api/v1/``.
    :param retry_after: seconds after which the server asked to be tried again, or None.
    :param maybe_applied: whether the server may have acted all the same.
    """

    transient = False

    def __init__(
        self,
        status: int,
        message: str,
        *,
        data: Any = None,
        method: str = "",
        path: str = "",
        retry_after: float | None = None,
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.data = data
        self.method = method
        self.path = path
        self.retry_after = retry_after
        self.maybe_applied = maybe_applied

    def _text(self) -> str:
        request = f" to {self.method} {self.path}" if self.method else ""
        return f"Code Ocean answered {self.status}{request}: {self.message}"


class BadRequest(CodeOceanApiError):
    """400: the request was wrong; ``message`` says why."""


class Unauthorized(CodeOceanApiError):
    """401: there is no valid access token."""


class Forbidden(CodeOceanApiError):
    """403: the token lacks a scope, or its user the role, that the request needs."""


class NotFound(CodeOceanApiError):
    """404 by Code Ocean itself: the object does not exist, or the user may not see it.

    A job that was submitted less than :data:`VISIBILITY_SECONDS` ago may just not be visible yet.
    """


class RateLimited(CodeOceanApiError):
    """429: too many requests. ``retry_after`` holds the seconds to wait where the server said so."""

    transient = True


class ServerError(CodeOceanApiError):
    """5xx: the server, or a proxy before it, is in trouble."""

    transient = True


class DataAssetFailed(CodeOceanError):
    """A data asset ended in state ``failed``."""

    transient = False


class TransferFailed(CodeOceanError):
    """The transfer of a data asset ended with an error."""

    transient = False


class ComputationFailed(CodeOceanError):
    """A computation ended, but not with success."""

    transient = False


class DownloadFailed(CodeOceanError):
    """A file did not arrive as long as Code Ocean lists it, or could not be written.

    :param message: which file, how many bytes were expected and how many came.
    :param transient: whether trying again may help.
    """

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


class FilesElsewhere(CodeOceanError):
    """A data asset's files are not in Code Ocean, so that it neither lists nor gives them."""

    transient = False


class AlreadyExists(CodeOceanError):
    """What was to be made had been made before, and was not to be gone on with."""

    transient = False


class WaitTimeout(CodeOceanError):
    """What was awaited did not end in time; it may still go on at Code Ocean."""


class NoCertificates(ValueError):
    """There are no certificates to trust at the path that was given; while they are replaced, not yet."""


_BY_STATUS: dict[int, type[CodeOceanApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    429: RateLimited,
}


def error_class(status: int) -> type[CodeOceanApiError]:
    """Return the error class for an HTTP status of 300 or more."""
    if status >= 500:  # noqa: PLR2004
        return ServerError
    return _BY_STATUS.get(status, CodeOceanApiError)
