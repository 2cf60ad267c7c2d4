"""Texts that nothing may show by accident: access tokens, signed URLs."""

from __future__ import annotations

import base64


class Secret(str):
    """A text that its ``repr`` does not tell.

    It is a text like any other to whoever uses it. But what shows variables as they are (a traceback with its
    locals, a dict in a log line) shows three stars.
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
