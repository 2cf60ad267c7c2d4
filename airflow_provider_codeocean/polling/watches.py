"""Watches: poll loops that never end.

A watch is a wait that stays pending, so all watches of the same resource on a connection share each poll, and
the rates of the connection apply.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_codeocean.api.errors import RateLimited, Unauthorized
from airflow_provider_codeocean.api.pages import Pages
from airflow_provider_codeocean.outcomes import Outcome
from airflow_provider_codeocean.polling.waits import TargetKind, Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from airflow_provider_codeocean.api.errors import CodeOceanError
    from airflow_provider_codeocean.api.request import Request
    from airflow_provider_codeocean.polling.waits import PollRequests

log = logging.getLogger(__name__)

_MAX_FIRST_DELAY_SECONDS = 1.0


class Watch(Wait):
    """A wait that never ends.

    :param id: identifier of the watched resource.
    :param poll_interval: seconds between two polls, above 0.
    :ivar snapshots: the result of the last poll, until it is consumed.
    :ivar connection: name of the connection, for log lines.
    """

    def __init__(self, id: str, *, poll_interval: float) -> None:  # noqa: A002
        super().__init__(id, poll_interval=poll_interval, deadline=None)
        self.snapshots: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
        self.connection = ""
        self._reported_error: str | None = None
        self._has_polled = False

    @override
    def poll_delay(self, now: float, *, early_polls: int | None = None, jitter: float = 1.0) -> float:
        if self._has_polled:
            return jitter * self.poll_interval
        return min(_MAX_FIRST_DELAY_SECONDS, self.poll_interval)

    @override
    def outcome(self, result: Any) -> Outcome:
        return Outcome.PENDING

    @override
    def to_error(self, result: Any) -> CodeOceanError:
        raise NotImplementedError("a watch does not fail")

    @override
    def observe(self, result: Any) -> None:
        if self._reported_error is not None:
            log.warning("Watch on %s recovered", self._label)
            self._reported_error = None
        self._has_polled = True
        self.last_state, self.last_error = f"{len(result)} found", None
        with suppress(asyncio.QueueEmpty):
            self.snapshots.get_nowait()
        self.snapshots.put_nowait(result)

    @override
    def record_error(self, error: CodeOceanError) -> None:
        super().record_error(error)
        self._has_polled = True
        if not isinstance(error, RateLimited):
            self.report_error(error)

    def report_error(self, error: Exception) -> None:
        """Log why polls fail, once for each reason."""
        reason = "the access token" if isinstance(error, Unauthorized) else str(error)
        if reason != self._reported_error:
            self._reported_error = reason
            log.warning("Watch on %s: poll failed, retrying: %s", self._label, error)

    @override
    def describe_success(self) -> str:
        raise NotImplementedError("a watch never ends")

    @property
    def _label(self) -> str:
        connection = f" on connection {self.connection}" if self.connection else ""
        return f"{self.kind.value} {self.id}{connection}"

    @override
    def _describe_pending(self) -> str:
        return f"The watch on {self._label} has shown nothing"


class ComputationsWatch(Watch):
    """A watch on all computations of a capsule or pipeline. Each poll shows a list of them.

    Source: ``GET capsules/{id}/computations`` and ``GET pipelines/{id}/computations``.

    :param path_prefix: ``capsules`` or ``pipelines``.
    :param id: id of the capsule or pipeline.
    :param poll_interval: see :class:`Watch`.
    """

    kind = TargetKind.COMPUTATION_LIST

    def __init__(self, path_prefix: str, id: str, *, poll_interval: float) -> None:  # noqa: A002
        super().__init__(f"{path_prefix}/{id}", poll_interval=poll_interval)
        self._path_prefix, self._id = path_prefix, id

    @property
    @override
    def request(self) -> Request[Any]:
        from airflow_provider_codeocean.api.endpoints.capsules import Capsules

        return Capsules.list_computations.build_request(self._path_prefix, self._id)


class DataAssetsWatch(Watch):
    """A watch on all data assets that match a search. Each poll shows a list of them.

    Source: ``POST data_assets/search``, one request per thousand data assets.

    :param params: search parameters, as JSON values.
    :param poll_interval: see :class:`Watch`.
    """

    kind = TargetKind.DATA_ASSET_LIST

    def __init__(self, params: Mapping[str, Any], *, poll_interval: float) -> None:
        super().__init__(json.dumps(params, sort_keys=True), poll_interval=poll_interval)
        self._params = params

    @property
    @override
    def request(self) -> Request[Any]:
        from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
        from airflow_provider_codeocean.api.models.search import MAX_PAGE_SIZE

        params = DataAssetSearchParams.model_validate({"limit": MAX_PAGE_SIZE, **self._params})
        return DataAssets.search.build_request(DataAssets.path_prefix, params)

    @override
    def poll_requests(self) -> PollRequests:
        pages, assets = Pages(self.request), []
        while pages.request is not None:
            assets += pages.take((yield pages.request))
        return assets


async def stream_results(watch: Watch, wait_for: Callable[[Watch], Awaitable[None]]) -> AsyncIterator[Any]:
    """Yield the results of polls forever. A slow consumer gets the newest result.

    Errors that would end any other wait (no permission, no such capsule, no connection) do not end a watch,
    because they may be fixed later and nobody would restart the watch.

    :param watch: the watch.
    :param wait_for: waits on the shared poller of the connection until polling fails permanently.
    :yields: the result of a poll.
    """

    async def poll_forever() -> None:
        while True:
            try:
                await wait_for(watch)
            except Exception as error:  # noqa: BLE001 - the next poll may succeed
                watch.report_error(error)
            await asyncio.sleep(watch.poll_interval)

    polling = asyncio.create_task(poll_forever())
    try:
        while True:
            yield await watch.snapshots.get()
    finally:
        polling.cancel()
        await asyncio.wait({polling})
