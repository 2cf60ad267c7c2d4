"""The errors of this package, as one tree.

::

    CodeOceanError                  base class
    ├── CodeOceanTransportError     no response of Code Ocean: unreachable, cut off, or a proxy's page
    │   ├── UnexpectedResponse      a response that is not Code Ocean's
    │   └── StorageError            the host of a file rejected the request
    ├── CodeOceanApiError           Code Ocean's own error response
    │   ├── BadRequest              400: the request is invalid
    │   ├── Unauthorized            401: no valid token
    │   ├── Forbidden               403: the token lacks a scope, or its user a role
    │   ├── NotFound                404: it does not exist, or the user cannot see it
    │   ├── RateLimited             429: too many requests
    │   └── ServerError             5xx
    ├── DataAssetFailed             a data asset is in state ``failed``
    ├── TransferFailed              a transfer failed
    ├── ComputationFailed           a computation failed
    │   └── ComputationStartFailed  it ended before anything ran
    ├── DownloadFailed              a file is incomplete, or could not be written
    ├── FilesNotInCodeOcean         Code Ocean does not store the files of a data asset
    ├── AlreadyExists               a job was submitted before, and must not be adopted
    └── WaitTimeout                 a job was still pending at the deadline

Invalid arguments and settings are a ``ValueError``. One of them may be transient: ``CertificatesNotFound``.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_codeocean.api.text import to_printable

#: For this long after a submission, Code Ocean's 404 for the new job means "not visible yet".
NOT_FOUND_GRACE_SECONDS = 300.0


class CodeOceanError(Exception):
    """Base of all errors about Code Ocean. Control characters in its text are escaped.

    :ivar server: address of the deployment, with the name of the connection if there is one; empty if the
        error is not about a request.
    :ivar may_have_been_applied: whether the server may have carried out the request. False for safe requests.
    :ivar is_transient: whether retrying may help.
    """

    server: str = ""
    may_have_been_applied: bool = False
    is_transient: bool = True

    def __str__(self) -> str:
        text = to_printable(self._format_message())
        return f"{text} [{self.server}]" if self.server else text

    def _format_message(self) -> str:
        return super().__str__()


class CodeOceanTransportError(CodeOceanError):
    """Code Ocean did not respond: it was not reached, or the response was cut off or is not Code Ocean's.

    :param message: the problem.
    :param may_have_been_applied: whether the request may have reached Code Ocean and been carried out.
    :param is_transient: whether retrying may help; false for a certificate that is not trusted.
    :param status: HTTP status code, 0 without a response.
    :param retry_after: seconds to wait, as the response requests, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        may_have_been_applied: bool = False,
        is_transient: bool = True,
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.may_have_been_applied = may_have_been_applied
        self.is_transient = is_transient
        self.status = status
        self.retry_after = retry_after


class UnexpectedResponse(CodeOceanTransportError):
    """A response that is not Code Ocean's: a proxy's page, a redirect, or an incomplete body.

    It says nothing about the requested resource.
    """


class StorageError(CodeOceanTransportError):
    """The host of a file rejected the request: the signed URL has expired, or the host has an outage.

    The message contains neither the URL nor the body: both can contain the signature.
    """


class CodeOceanApiError(CodeOceanError):
    """Code Ocean's own error response.

    :param status: HTTP status code.
    :param message: ``message`` in the body, or a summary of the body of a proxy's 401, 429, or 5xx.
    :param data: the body if it is JSON, else None.
    :param method: HTTP method of the request.
    :param path: path of the request below ``/api/v1/``.
    :param retry_after: seconds to wait, as the server requests, or None.
    :param may_have_been_applied: whether the server may have carried out the request.
    """

    is_transient = False

    def __init__(
        self,
        status: int,
        message: str,
        *,
        data: Any = None,
        method: str = "",
        path: str = "",
        retry_after: float | None = None,
        may_have_been_applied: bool = False,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.data = data
        self.method = method
        self.path = path
        self.retry_after = retry_after
        self.may_have_been_applied = may_have_been_applied

    def _format_message(self) -> str:
        request = f" to {self.method} {self.path}" if self.method else ""
        return f"Code Ocean answered {self.status}{request}: {self.message}"


class BadRequest(CodeOceanApiError):
    """400: the request is invalid; ``message`` gives the reason."""


class Unauthorized(CodeOceanApiError):
    """401: there is no valid access token."""


class Forbidden(CodeOceanApiError):
    """403: the token lacks a scope, or its user the role, that the request needs."""


class NotFound(CodeOceanApiError):
    """404 by Code Ocean itself: the object does not exist, or the user may not see it.

    A job that was submitted less than :data:`NOT_FOUND_GRACE_SECONDS` ago may just not be visible yet.
    """


class RateLimited(CodeOceanApiError):
    """429: too many requests. ``retry_after`` holds the seconds to wait, if the server sent them."""

    is_transient = True


class ServerError(CodeOceanApiError):
    """5xx: the server, or a proxy in front of it, failed."""

    is_transient = True


class DataAssetFailed(CodeOceanError):
    """A data asset is in state ``failed``."""

    is_transient = False


class TransferFailed(CodeOceanError):
    """The transfer of a data asset failed."""

    is_transient = False


class ComputationFailed(CodeOceanError):
    """A computation failed."""

    is_transient = False


class ComputationStartFailed(ComputationFailed):
    """A computation ended before anything ran: it has no exit code and no results.

    Typical causes are a machine that could not be started and an environment that could not be built.
    """


class DownloadFailed(CodeOceanError):
    """A file does not have the size that Code Ocean lists, or could not be written.

    :param message: the file and the problem.
    :param is_transient: whether retrying may help.
    """

    def __init__(self, message: str, *, is_transient: bool = True) -> None:
        super().__init__(message)
        self.is_transient = is_transient


class FilesNotInCodeOcean(CodeOceanError):
    """Code Ocean does not store the files of a data asset, so it can neither list nor provide them."""

    is_transient = False


class AlreadyExists(CodeOceanError):
    """A job was submitted before, and the settings do not allow adopting it."""

    is_transient = False


class WaitTimeout(CodeOceanError):
    """A job was still pending at the deadline. It may still succeed in Code Ocean."""


class CertificatesNotFound(ValueError):
    """There are no certificates at the path to trust. While they are being replaced, this is transient."""


_ERROR_CLASSES_BY_STATUS: dict[int, type[CodeOceanApiError]] = {
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
    return _ERROR_CLASSES_BY_STATUS.get(status, CodeOceanApiError)
