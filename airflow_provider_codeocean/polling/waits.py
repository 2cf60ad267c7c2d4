"""What there is to wait for: data assets, transfers, computations, and what a search finds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    ComputationFailed,
    DataAssetFailed,
    TransferFailed,
)
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.polling.wait import Kind, Wait
from airflow_provider_codeocean.states import (
    Verdict,
    computation_verdict,
    data_asset_verdict,
    describe_failure,
    transfer_verdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_codeocean.api.call import Call
    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.search import Page
    from airflow_provider_codeocean.states import SeenDataAsset, WaitEvent


class DataAssetWait(Wait):
    """A wait for a data asset to be ready. It takes what :class:`Wait` takes."""

    kind = Kind.DATA_ASSET

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        return _read_data_asset(self.id)

    def verdict(self, seen: SeenDataAsset) -> Verdict:
        """Tell what a look means; see the base class."""
        return data_asset_verdict(seen)

    def failure(self, seen: DataAsset) -> DataAssetFailed:
        """Make the error that a look means; see the base class."""
        return DataAssetFailed(describe_failure(seen))

    def note(self, seen: SeenDataAsset) -> None:
        """Record what a poll showed."""
        super().note(seen)
        self._is_older(seen.created)

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"Data asset {self.id} is ready"

    def _what_did_not_happen(self) -> str:
        return f"Data asset {self.id} was not ready"


class TransferWait(Wait):
    """A wait for the files of a data asset to be moved.

    :param id: identifier of the data asset.
    :param poll_interval: see :class:`Wait`.
    :param deadline: see :class:`Wait`.
    :param last_transferred: the data asset's field of that name before the transfer was begun: when an
        earlier one was done.
    :param transfer_error: the data asset's field of that name before the transfer was begun: why an earlier
        one failed. It is forgotten once the data asset is seen without it.
    :param submitted_at: see :class:`Wait`; when the data asset itself was created.
    """

    kind = Kind.DATA_ASSET

    def __init__(
        self,
        id: str,  # noqa: A002
        *,
        poll_interval: float,
        deadline: float | None,
        last_transferred: float | None = None,
        transfer_error: str | None = None,
        submitted_at: float | None = None,
    ) -> None:
        super().__init__(id, poll_interval=poll_interval, deadline=deadline, submitted_at=submitted_at)
        self.last_transferred = last_transferred
        self.transfer_error = transfer_error

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        return _read_data_asset(self.id)

    def verdict(self, seen: SeenDataAsset) -> Verdict:
        """Tell what a look means; see the base class."""
        return transfer_verdict(seen, self.last_transferred, self.transfer_error)

    def failure(self, seen: DataAsset) -> TransferFailed:
        """Make the error that a look means; see the base class."""
        return TransferFailed(f"The transfer of data asset {self.id} failed: {seen.transfer_error}")

    def note(self, seen: SeenDataAsset) -> None:
        """Record what a poll showed."""
        super().note(seen)
        # The same error again is another one, then; but a line of a search may just lack it.
        if not seen.transfer_error and isinstance(seen, DataAsset):
            self.transfer_error = None

    def conclude(self, event: WaitEvent, seen: DataAsset) -> None:
        """Conclude from how another wait for the transfer ended; see the base class."""
        if event["status"] == "failed" and self.verdict(seen) is not Verdict.SUCCEEDED:
            raise TransferFailed(event["message"])  # which may have come and gone since
        super().conclude(event, seen)

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"The files of data asset {self.id} were transferred"

    def _what_did_not_happen(self) -> str:
        earlier = f", which failed with {self.transfer_error!r} before," if self.transfer_error else ""
        return f"The transfer of data asset {self.id}{earlier} was not done"


class ComputationWait(Wait):
    """A wait for a computation to end. It takes what :class:`Wait` takes."""

    kind = Kind.COMPUTATION

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        from airflow_provider_codeocean.api.endpoints.computations import Computations

        return Computations.get.call(Computations.root, self.id)

    def verdict(self, seen: Computation) -> Verdict:
        """Tell what a look means; see the base class."""
        return computation_verdict(seen)

    def failure(self, seen: Computation) -> ComputationFailed:
        """Make the error that a look means; see the base class."""
        how = f"{seen.end_status or seen.state}, exit code {seen.exit_code}"
        return ComputationFailed(f"Computation {self.id} ({seen.name!r}) did not succeed: {how}")

    def note(self, seen: Computation) -> None:
        """Record what a poll showed."""
        super().note(seen)
        self._is_older(seen.created)

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"Computation {self.id} has succeeded"

    def _what_did_not_happen(self) -> str:
        return f"Computation {self.id} did not end"


class SearchWait(Wait):
    """A wait for a search to find a data asset.

    :param params: what to search for, as JSON values.
    :param poll_interval: see :class:`Wait`.
    :param deadline: see :class:`Wait`.
    """

    kind = Kind.SEARCH

    def __init__(self, params: Mapping[str, Any], *, poll_interval: float, deadline: float | None) -> None:
        super().__init__(json.dumps(params, sort_keys=True), poll_interval=poll_interval, deadline=deadline)
        self._params = params

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        params = DataAssetSearchParams.model_validate(self._params)
        return DataAssets.search.call(DataAssets.root, params)

    def verdict(self, seen: Page[DataAsset]) -> Verdict:
        """Tell what a look means; see the base class."""
        return Verdict.SUCCEEDED if seen.results else Verdict.WAITING

    def failure(self, seen: Page[DataAsset]) -> CodeOceanError:
        """Say that finding something is no failure; see the base class."""
        raise NotImplementedError("a search does not fail")

    def note(self, seen: Page[DataAsset]) -> None:
        """Record what a poll showed."""
        self._polls += 1
        self.last_state = f"{len(seen.results)} found"
        self.last_error = None

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"The search {self.id} found data assets"

    def _what_did_not_happen(self) -> str:
        return f"The search {self.id} found no data asset"


def _read_data_asset(data_asset_id: str) -> Call[Any]:
    from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets

    return DataAssets.get.call(DataAssets.root, data_asset_id)
