"""Text that must not be shown by accident: access tokens and signed URLs."""

from __future__ import annotations

import base64


class Secret(str):
    """A string whose ``repr`` is three stars, so that dumps of variables do not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def basic_auth_value(token: str) -> Secret:
    """Return a token as it is sent: in Base64, as the user of Basic authentication without a password."""
    return Secret(base64.b64encode(f"{token}:".encode()).decode())
