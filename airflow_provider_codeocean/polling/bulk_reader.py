"""Polls many data assets at once: a page of a search, newest first, shows a thousand of them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    RateLimited,
    Unauthorized,
)
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams, DataAssetSortField
from airflow_provider_codeocean.api.models.data_asset_summary import Glance, GlancePage
from airflow_provider_codeocean.api.models.search import SortOrder
from airflow_provider_codeocean.api.pagination import next_call
from airflow_provider_codeocean.outcomes import Verdict
from airflow_provider_codeocean.polling.page_planner import (
    MIN_TARGETS,
    SearchPlan,
    SearchPositions,
    plan_search,
    should_continue,
)
from airflow_provider_codeocean.polling.registry import jitter_factor
from airflow_provider_codeocean.polling.waits import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_codeocean.api.request import Call
    from airflow_provider_codeocean.polling.registry import PollRegistry, PollTarget
    from airflow_provider_codeocean.polling.search_consistency import SearchConsistencyMonitor
    from airflow_provider_codeocean.polling.shared_client import SharedClient

log = logging.getLogger(__name__)

#: How many times as long as a search took none follows, so that searching is a tenth of the time at most.
_REST_FACTOR = 10.0
#: Seconds for a page.
_PAGE_SECONDS = 10.0
#: For how long reads wait for the next page of a search: seconds at least, and intervals at most.
_MIN_PRECEDENCE = 1.0
_PRECEDENCE_INTERVALS = 0.5
#: How many results are applied before other tasks of the event loop have their turn.
_BATCH = 250


class BulkReader:
    """Polls with searches, for one poller. A search runs in a task of its own.

    :param registry: the targets.
    :param client: sends the requests.
    :param monitor: says how far searches are believed, and learns what they show.
    :param now: the event loop's clock.
    :param name: name of the connection.
    :param wake: is called when a search has ended.
    """

    def __init__(
        self,
        registry: PollRegistry,
        client: SharedClient,
        monitor: SearchConsistencyMonitor,
        now: Callable[[], float],
        *,
        name: str,
        wake: Callable[[], None],
    ) -> None:
        self._name = name
        self._registry = registry
        self._client = client
        self._monitor = monitor
        self._now = now
        self._wake = wake
        self._positions = SearchPositions()
        self._rest_until = now()
        self._precedence_until = now()
        self._last_succeeded = True
        self._task: asyncio.Task[None] | None = None

    @property
    def is_searching(self) -> bool:
        """Whether a search is under way."""
        return self._task is not None

    def start(self, due: list[PollTarget], now: float) -> float:
        """Start a search, if that saves requests.

        :param due: the targets to poll.
        :param now: the time.
        :returns: until when those that it may show are left to it. They are read after that, so that a slow
            search delays nothing.
        """
        limiter = self._client.limiters["search"]
        usable = self._monitor.is_usable(now) and not limiter.is_paused and not self._client.breaker.is_open
        searchable = any(each.may_be_searched(now) for each in due)
        self._registry.is_bulk = usable and len(self._registry) > MIN_TARGETS
        if not usable or not searchable:
            return now
        if self._task is not None:
            return self._precedence_until
        targets = [each for each in self._registry if each.is_almost_due(now) and each.may_be_searched(now)]
        wall = time.time()
        try:
            # Code Ocean's times are whole seconds, so many targets share one.
            times = {each.created for each in targets}
            positions = {created: self._positions.estimate(created, wall) for created in times}
            plan = plan_search([positions[each.created] for each in targets])
        except Exception as error:  # noqa: BLE001 - whatever it is, waits do without searches
            self._record_failure(error)
            return now
        if not plan.pages:
            return now
        if now < self._rest_until:
            return self._rest_until if self._last_succeeded else now
        shortest = min((wait.poll_interval for each in targets for wait in each.waits), default=0.0)
        self._extend_precedence(shortest)
        self._task = asyncio.create_task(self._run(plan, targets, shortest))
        return self._precedence_until

    async def cancel(self) -> None:
        """Cancel the search that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _extend_precedence(self, shortest: float) -> None:
        seconds = min(_PAGE_SECONDS, max(_MIN_PRECEDENCE, _PRECEDENCE_INTERVALS * shortest))
        self._precedence_until = self._now() + seconds

    async def _run(self, plan: SearchPlan, targets: list[PollTarget], shortest: float) -> None:
        started = self._now()
        self._last_succeeded = False
        try:
            await self._search(plan, {each.id: each for each in targets}, shortest)
            self._last_succeeded = True
        except (RateLimited, Unauthorized) as error:  # which say nothing about searches
            if isinstance(error, RateLimited):
                self._client.limiters["search"].record_rejection(started, error.retry_after)
        except Exception as error:  # noqa: BLE001 - whatever it is, waits do without searches
            self._record_failure(error)
        finally:
            now = self._now()
            intervals = [each.interval for each in targets]
            self._rest_until = now + min([_REST_FACTOR * (now - started), *intervals])
            self._precedence_until = now
            self._task = None
            self._wake()

    def _record_failure(self, error: Exception) -> None:
        seconds = self._monitor.search_failed(self._now())
        log.warning(
            "Connection %s: searching failed, doing without it for %.0f s: %s",
            self._name,
            seconds,
            error,
            exc_info=None if isinstance(error, CodeOceanError) else error,
        )

    async def _search(self, plan: SearchPlan, unseen: dict[str, PollTarget], shortest: float) -> None:
        params = DataAssetSearchParams(
            limit=plan.size, sort_field=DataAssetSortField.CREATED, sort_order=SortOrder.DESCENDING
        )
        calls = DataAssets.search_all.pages(DataAssets.root, params)
        call: Call[Any] | None = next(calls)
        pages = results = 0
        oldest: float | None = None
        jitter = jitter_factor()
        oldest_wanted = min((each.created or 0.0) for each in unseen.values())
        while call is not None:
            asked_at = self._now()
            page = await self._page(replace(call, answers=GlancePage))
            by_id = {each.id: each for each in page.results}
            off_for = self._monitor.verify_page(by_id, asked_at)
            if off_for:
                log.warning(
                    "Connection %s: searches show an old state, doing without them for %.0f s",
                    self._name,
                    off_for,
                )
                return
            pages, results, before = pages + 1, results + len(page.results), len(unseen)
            await self._apply_page(by_id, unseen, jitter)
            oldest = page.results[-1].created if page.results else None
            if oldest is not None:
                self._positions.record(oldest, results)
                if oldest < oldest_wanted:
                    break
            if not should_continue(plan, pages, before - len(unseen), len(unseen)):
                break
            self._extend_precedence(shortest)
            call = next_call(calls, cast("Any", page))  # has the fields of a page
        self._monitor.search_worked()
        all_were_shown = call is None
        for target in unseen.values():
            newer = oldest is not None and target.created is not None and target.created > oldest
            if all_were_shown or newer:
                target.mark_missing(self._now())
            elif target.is_overdue(self._now()):  # no search goes that far
                target.must_be_read = True

    async def _page(self, call: Call[GlancePage]) -> GlancePage:
        await self._client.acquire_slot("search")
        page = await self._client.send(call, "search", limit=_PAGE_SECONDS)
        self._client.breaker.record_success()  # reads that fail are problems of their targets
        return page

    async def _apply_page(
        self, by_id: Mapping[str, Glance], unseen: dict[str, PollTarget], jitter: float
    ) -> None:
        for number, (asset_id, glance) in enumerate(by_id.items(), start=1):
            target = self._registry.get(Kind.DATA_ASSET, asset_id)
            if target is not None:
                unseen.pop(asset_id, None)
                try:
                    self.apply(target, glance, jitter)
                except Exception as error:  # noqa: BLE001 - it ends these waits, and no others
                    self._registry.fail(target, error)
            if number % _BATCH == 0:
                await asyncio.sleep(0)

    def apply(self, target: PollTarget, glance: Glance, jitter: float) -> None:
        """Apply what a search shows of one data asset.

        It is enough for a success: whoever waited reads the data asset anyway, or wants it to be read here. A
        failure is read first, for its reason.

        :param target: the data asset.
        :param glance: what the search shows of it.
        :param jitter: the part of an early interval until it is polled again.
        """
        target.mark_found(glance.created)
        for wait in list(target.waits):
            wait.note(glance)
            verdict = wait.verdict(glance)
            if verdict is Verdict.WAITING:
                continue
            if verdict is Verdict.SUCCEEDED and target.shown:
                self._monitor.confirm_from_search()
            if verdict is Verdict.FAILED or wait.wants_to_read:
                target.must_be_read = True
            else:
                self._registry.resolve(target, wait)
        target.shown = True
        if target.must_be_read:
            target.due = self._now()
        else:
            self._registry.reschedule(target, jitter)
