"""Text that must not be shown by accident: access tokens and signed URLs."""

from __future__ import annotations

import base64


class Secret(str):
    """A string whose ``repr`` is three stars.

    It can be used like any other string, but a traceback with local variables, or a dict in a log line, does
    not show it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def basic(token: str) -> Secret:
    """Return a token as it goes over the wire: the user of Basic authentication, without a password.

    :param token: the token.
    :returns: its Base64 form.
    """
    return Secret(base64.b64encode(f"{token}:".encode()).decode())
