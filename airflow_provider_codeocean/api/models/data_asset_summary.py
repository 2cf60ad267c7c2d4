"""What waiting needs of a search's results, decoded without the rest: a page of 1,000 in half a millisecond.

It stands in for :class:`~airflow_provider_codeocean.api.models.search.Page` as a search's answer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_codeocean.api.models.base import read_number, read_text, reader_of
from airflow_provider_codeocean.api.models.data_asset import DataAssetState
from airflow_provider_codeocean.api.text import printable

_read_state = reader_of(DataAssetState)
_STATES = {state.value: state for state in DataAssetState}


class Glance(msgspec.Struct, gc=False, frozen=True):
    """A line of a search for data assets. Its fields are as the server sent them, its properties are read."""

    raw_id: Any = msgspec.field(default=None, name="id")
    raw_state: Any = msgspec.field(default=None, name="state")
    raw_created: Any = msgspec.field(default=None, name="created")
    raw_last_transferred: Any = msgspec.field(default=None, name="last_transferred")
    raw_transfer_error: Any = msgspec.field(default=None, name="transfer_error")

    @property
    def id(self) -> str:
        """Identifier of the data asset, empty where it is none."""
        raw = self.raw_id
        return printable(raw) if isinstance(raw, str) else ""

    @property
    def state(self) -> str | None:
        """State of the data asset."""
        raw = self.raw_state
        return (_STATES.get(raw) if isinstance(raw, str) else None) or _read_state(raw)

    @property
    def created(self) -> float | None:
        """When it was created, in Unix seconds."""
        return read_number(self.raw_created)

    @property
    def last_transferred(self) -> float | None:
        """When its files were last moved, in Unix seconds."""
        return read_number(self.raw_last_transferred)

    @property
    def transfer_error(self) -> str | None:
        """Why the last attempt to move them failed."""
        return read_text(self.raw_transfer_error)


class GlancePage(msgspec.Struct):
    """A page of them.

    :ivar has_more: whether there are further pages.
    :ivar next_token: what to send for the next page.
    :ivar results: the lines.
    """

    has_more: bool
    results: list[Glance]
    next_token: str | None = None

    @classmethod
    def from_bytes(cls, content: bytes) -> GlancePage:
        """Decode an answer.

        :param content: the JSON.
        :returns: the page.
        :raises ValueError: where it is no such page.
        """
        try:
            return _decoder.decode(content)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error


_decoder = msgspec.json.Decoder(GlancePage)
