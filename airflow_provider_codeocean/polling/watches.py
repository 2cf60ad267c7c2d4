"""Looking for ever: what each look shows goes to whoever watches. No Airflow.

A watch is a wait that is never over, so that all that is true of waits is true of it: all who watch the same
thing on a connection share one look, and the pace is that of the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import RateLimited, Unauthorized
from airflow_provider_codeocean.api.pagination import next_call
from airflow_provider_codeocean.outcomes import Verdict
from airflow_provider_codeocean.polling.waits import Kind, Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from airflow_provider_codeocean.api.errors import CodeOceanError
    from airflow_provider_codeocean.api.request import Call
    from airflow_provider_codeocean.polling.waits import Look

log = logging.getLogger(__name__)

#: Seconds within which a watch looks for the first time.
_FIRST_INTERVAL = 1.0


class Watch(Wait):
    """A wait that is never over.

    :param id: identifier of what is watched.
    :param poll_interval: seconds between two looks, above 0.
    :ivar shown: what the last look showed, until somebody has taken it.
    :ivar connection: name of the connection, to be told with what goes wrong.
    """

    def __init__(self, id: str, *, poll_interval: float) -> None:  # noqa: A002
        super().__init__(id, poll_interval=poll_interval, deadline=None)
        self.shown: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
        self.connection = ""
        self._trouble: str | None = None
        self._has_looked = False

    def interval(
        self,
        now: float,  # noqa: ARG002 - as the base class
        *,
        early_polls: int | None = None,  # noqa: ARG002
        jitter: float = 1.0,
    ) -> float:
        """Return the seconds until the next poll: always the same, once there has been one."""
        return jitter * self.poll_interval if self._has_looked else min(_FIRST_INTERVAL, self.poll_interval)

    def verdict(self, seen: Any) -> Verdict:  # noqa: ARG002 - as the base class
        """Tell that it is not over; see the base class."""
        return Verdict.WAITING

    def failure(self, seen: Any) -> CodeOceanError:
        """Say that looking is no failure; see the base class."""
        raise NotImplementedError("a watch does not fail")

    def note(self, seen: Any) -> None:
        """Show what a look showed; what nobody has taken is old by now."""
        if self._trouble is not None:
            log.warning("The watch for %s%s is well again", self._what, self._where)
            self._trouble = None
        self._has_looked = True
        self.last_state, self.last_error = f"{len(seen)} found", None
        with suppress(asyncio.QueueEmpty):
            self.shown.get_nowait()
        self.shown.put_nowait(seen)

    def miss(self, error: CodeOceanError) -> None:
        """Remember that a look did not succeed; see the base class."""
        super().miss(error)
        self._has_looked = True
        if not isinstance(error, RateLimited):  # which the pace sees to
            self.in_trouble(error)

    def in_trouble(self, error: Exception) -> None:
        """Say why it cannot look, once for each reason.

        :param error: why.
        """
        reason = "the access token" if isinstance(error, Unauthorized) else str(error)
        if reason != self._trouble:
            self._trouble = reason
            log.warning(
                "The watch for %s%s cannot look, and will look again: %s", self._what, self._where, error
            )

    def describe_success(self) -> str:
        """Say that there is none; see the base class."""
        raise NotImplementedError("a watch is never over")

    @property
    def _what(self) -> str:
        return f"{self.kind.value} {self.id}"

    @property
    def _where(self) -> str:
        return f" on connection {self.connection}" if self.connection else ""

    def _what_did_not_happen(self) -> str:
        return f"The watch for {self._what} has shown nothing"


class ComputationsWatch(Watch):
    """Look at all computations of a capsule or pipeline. A look shows a list of them.

    Source: ``GET capsules/{id}/computations``, and the same of pipelines.

    :param root: ``capsules`` or ``pipelines``.
    :param id: id of the capsule or pipeline.
    :param poll_interval: see :class:`Watch`.
    """

    kind = Kind.COMPUTATIONS

    def __init__(self, root: str, id: str, *, poll_interval: float) -> None:  # noqa: A002
        super().__init__(f"{root}/{id}", poll_interval=poll_interval)
        self._root, self._id = root, id

    @property
    def call(self) -> Call[Any]:
        """The request that looks at them."""
        from airflow_provider_codeocean.api.endpoints.capsules import Capsules

        return Capsules.list_computations.call(self._root, self._id)


class DataAssetsWatch(Watch):
    """Look at all data assets that a search finds. A look shows a list of them.

    Source: ``POST data_assets/search``, a request for each thousand.

    :param params: what to search for, as JSON values.
    :param poll_interval: see :class:`Watch`.
    """

    kind = Kind.MATCHES

    def __init__(self, params: Mapping[str, Any], *, poll_interval: float) -> None:
        super().__init__(json.dumps(params, sort_keys=True), poll_interval=poll_interval)
        self._params = params

    @property
    def call(self) -> Call[Any]:
        """The request for the first of them."""
        return next(self._pages())

    def look(self) -> Look:
        """Look at all pages; see the base class."""
        pages, found = self._pages(), []
        call = next(pages)
        while call is not None:
            page = yield call
            call = next_call(pages, page)
            found += page.results
        return found

    def _pages(self) -> Any:
        from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
        from airflow_provider_codeocean.api.models.search import MAX_PAGE

        params = DataAssetSearchParams.model_validate({"limit": MAX_PAGE, **self._params})
        return DataAssets.search_all.pages(DataAssets.root, params)


async def follow(watch: Watch, wait: Callable[[Watch], Awaitable[None]]) -> AsyncIterator[Any]:
    """Yield what each look shows, for ever: the newest, where looks are faster than who takes them.

    What ends any other wait (no permission, no such capsule, no connection) does not end a watch: it may be
    mended tomorrow, and nobody would begin it anew then.

    :param watch: what to look at.
    :param wait: waits for it, with all others on its connection, until it cannot be looked at.
    :yields: what a look shows.
    """

    async def look_for_ever() -> None:
        while True:
            try:
                await wait(watch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may do without it
                watch.in_trouble(error)
            await asyncio.sleep(watch.poll_interval)

    looking = asyncio.create_task(look_for_ever())
    try:
        while True:
            yield await watch.shown.get()
    finally:
        looking.cancel()
        await asyncio.wait({looking})
