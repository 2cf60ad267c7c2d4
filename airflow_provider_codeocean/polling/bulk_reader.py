"""Poll many data assets with few requests: a page of a search, newest first, shows up to a thousand of them.

A plan says how many pages of which size save the most requests, estimated from the ages of the data assets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import CodeOceanError, RateLimited, Unauthorized
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams, DataAssetSortField
from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummary, DataAssetSummaryPage
from airflow_provider_codeocean.api.models.search import SortOrder
from airflow_provider_codeocean.api.pages import request_after
from airflow_provider_codeocean.outcomes import Outcome
from airflow_provider_codeocean.polling.registry import jitter_factor
from airflow_provider_codeocean.polling.waits import TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_codeocean.api.request import Request
    from airflow_provider_codeocean.polling.registry import PollRegistry, PollTarget
    from airflow_provider_codeocean.polling.search_consistency import SearchConsistencyMonitor
    from airflow_provider_codeocean.polling.shared_client import SharedClient

log = logging.getLogger(__name__)

#: Sizes of a page, and the number of single reads that a page of that size may cost.
_PAGE_SIZES_AND_COSTS = ((100, 10), (1000, 20))
#: With at most this number of targets, all of them are read one by one.
MAX_SINGLE_READ_TARGETS = _PAGE_SIZES_AND_COSTS[0][1]
_MAX_RESULTS = 20_000
#: Pause after a search, in durations of the search, so that searches run at most a tenth of the time.
_REST_FACTOR = 10.0
_PAGE_TIMEOUT_SECONDS = 10.0
#: How long reads wait for the next page of a search: seconds at least, and poll intervals at most.
_MIN_PRECEDENCE_SECONDS = 1.0
_PRECEDENCE_INTERVALS = 0.5
#: Results that are applied before other tasks of the event loop run.
_BATCH_SIZE = 250


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How far to search.

    :param page_size: results per page.
    :param page_count: number of pages; 0 if single reads cost less.
    """

    page_size: int = 0
    page_count: int = 0


@dataclass(slots=True)
class SearchPositions:
    """Positions in a search, newest first, at which data assets of a certain age were found.

    :ivar page_ends: for the last result of each page, its creation time and its number in the search.
    """

    page_ends: list[tuple[float, int]] = field(default_factory=list)

    def record(self, oldest_created: float, result_count: int) -> None:
        """Record when the last result of a page was created (Unix seconds), and its number in the search."""
        beyond = [end for end in self.page_ends if end[1] > result_count and end[0] < oldest_created]
        before = [end for end in self.page_ends if end[1] < result_count and end[0] > oldest_created]
        self.page_ends = [*before, (oldest_created, result_count), *beyond]

    def estimate(self, created: float | None, now: float) -> int:
        """Estimate the position of a data asset from its creation time, in Unix seconds, if that is known."""
        if created is None or not self.page_ends:
            return 0
        # A data asset as old as the last result of a page may be on the next page.
        number = bisect_right(self.page_ends, -created, key=lambda end: -end[0])
        if number < len(self.page_ends):
            return self.page_ends[number - 1][1] if number else 0
        oldest, results = self.page_ends[-1]
        return round(results * max(1.0, (now - created) / max(1.0, now - oldest)))


def plan_search(positions: Sequence[int]) -> SearchPlan:
    """Return the plan that saves the most requests, given the estimated positions of the data assets."""
    # Positions are distinct: if very many are estimated to be on the first page, some are on later ones.
    positions = [max(position, number) for number, position in enumerate(sorted(positions))]
    best, best_savings = SearchPlan(), 0
    for size, cost in _PAGE_SIZES_AND_COSTS:
        for pages in range(1, _MAX_RESULTS // size + 1):
            found = bisect_right(positions, size * pages - 1)
            if found - cost * pages > best_savings:
                best, best_savings = SearchPlan(size, pages), found - cost * pages
            if found == len(positions):
                break
    return best


def should_continue(plan: SearchPlan, page_count: int, hit_count: int, remaining_count: int) -> bool:
    """Return whether another page saves requests."""
    cost = dict(_PAGE_SIZES_AND_COSTS)[plan.page_size]
    if not remaining_count or page_count * plan.page_size >= _MAX_RESULTS:
        return False
    return page_count < plan.page_count or (remaining_count > cost and hit_count > cost)


class BulkReader:
    """Polls the targets of a poller with searches. Each search is a task, which calls ``wake`` at its end."""

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
        self._last_search_succeeded = True
        self._task: asyncio.Task[None] | None = None

    @property
    def is_searching(self) -> bool:
        """Whether a search is running."""
        return self._task is not None

    def start(self, due_targets: list[PollTarget], now: float) -> float:
        """Start a search if it saves requests.

        :param due_targets: the targets to poll.
        :param now: the time.
        :returns: until when reads of searchable targets wait for the search; it is limited, so that a slow
            search delays nothing.
        """
        limiter = self._client.limiters["search"]
        is_usable = (
            self._monitor.is_usable(now) and not limiter.is_paused and not self._client.breaker.is_open
        )
        self._registry.is_bulk = is_usable and len(self._registry) > MAX_SINGLE_READ_TARGETS
        if not is_usable or not any(target.is_searchable(now) for target in due_targets):
            return now
        if self._task is not None or now < self._precedence_until:
            return self._precedence_until
        data_assets = self._registry.by_id[TargetKind.DATA_ASSET].values()
        targets = [
            target for target in data_assets if target.is_almost_due(now) and target.is_searchable(now)
        ]
        unix_now = time.time()
        try:
            # Code Ocean's times are whole seconds, so many targets share one.
            times = {target.created for target in targets}
            positions = {created: self._positions.estimate(created, unix_now) for created in times}
            plan = plan_search([positions[target.created] for target in targets])
        except Exception as error:  # noqa: BLE001 - waits do not depend on searches
            self._record_failure(error)
            return now
        if not plan.page_count:
            return now
        if now < self._rest_until:  # until then, the due targets only increase, so plan only once
            self._precedence_until = self._rest_until if self._last_search_succeeded else now
            return self._precedence_until
        min_interval = min((wait.poll_interval for target in targets for wait in target.waits), default=0.0)
        self._extend_precedence(min_interval)
        self._task = asyncio.create_task(self._run(plan, targets, min_interval))
        return self._precedence_until

    async def cancel(self) -> None:
        """Cancel the running search, if any."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _extend_precedence(self, min_interval: float) -> None:
        seconds = min(
            _PAGE_TIMEOUT_SECONDS, max(_MIN_PRECEDENCE_SECONDS, _PRECEDENCE_INTERVALS * min_interval)
        )
        self._precedence_until = self._now() + seconds

    async def _run(self, plan: SearchPlan, targets: list[PollTarget], min_interval: float) -> None:
        started = self._now()
        self._last_search_succeeded = False
        try:
            await self._search(plan, {target.id: target for target in targets}, min_interval)
            self._last_search_succeeded = True
        except (RateLimited, Unauthorized) as error:  # not specific to searches
            if isinstance(error, RateLimited):
                self._client.limiters["search"].record_rejection(started, error.retry_after)
        except Exception as error:  # noqa: BLE001 - waits do not depend on searches
            self._record_failure(error)
        finally:
            now = self._now()
            intervals = [target.interval for target in targets]
            self._rest_until = now + min([_REST_FACTOR * (now - started), *intervals])
            self._precedence_until = now
            self._task = None
            self._wake()

    def _record_failure(self, error: Exception) -> None:
        seconds = self._monitor.record_search_failure(self._now())
        log.warning(
            "Connection %s: search failed, reading data assets one by one for %.0f s: %s",
            self._name,
            seconds,
            error,
            exc_info=None if isinstance(error, CodeOceanError) else error,
        )

    async def _search(
        self, plan: SearchPlan, remaining_targets: dict[str, PollTarget], min_interval: float
    ) -> None:
        params = DataAssetSearchParams(
            limit=plan.page_size, sort_field=DataAssetSortField.CREATED, sort_order=SortOrder.DESCENDING
        )
        request: Request[DataAssetSummaryPage] | None = replace(
            cast("Any", DataAssets.search.build_request(DataAssets.path_prefix, params)),
            response_model=DataAssetSummaryPage,
        )
        pages = results = 0
        oldest: float | None = None
        jitter = jitter_factor()
        oldest_target = min((target.created or 0.0) for target in remaining_targets.values())
        while request is not None:
            requested_at = self._now()
            page = await self._fetch_page(request)
            pause_seconds = self._monitor.verify_page(page.results, requested_at)
            if pause_seconds:
                log.warning(
                    "Connection %s: search index is stale, reading data assets one by one for %.0f s",
                    self._name,
                    pause_seconds,
                )
                return
            pages, results, before = pages + 1, results + len(page.results), len(remaining_targets)
            await self._apply_results(page.results, remaining_targets, jitter)
            oldest = page.results[-1].created if page.results else None
            if oldest is not None:
                self._positions.record(oldest, results)
                if oldest < oldest_target:
                    break
            if not should_continue(plan, pages, before - len(remaining_targets), len(remaining_targets)):
                break
            self._extend_precedence(min_interval)
            request = request_after(request, page)
        self._monitor.record_search_success()
        for target in remaining_targets.values():
            is_newer = oldest is not None and target.created is not None and target.created > oldest
            if request is None or is_newer:
                target.mark_missing(self._now())
            elif target.is_overdue(self._now()):  # searches do not reach it
                target.needs_read = True

    async def _fetch_page(self, request: Request[DataAssetSummaryPage]) -> DataAssetSummaryPage:
        await self._client.acquire_slot("search")
        page = await self._client.send(request, "search", timeout_seconds=_PAGE_TIMEOUT_SECONDS)
        self._client.breaker.record_success()  # failing reads concern their targets only
        return page

    async def _apply_results(
        self, results: list[DataAssetSummary], remaining_targets: dict[str, PollTarget], jitter: float
    ) -> None:
        targets = self._registry.by_id[TargetKind.DATA_ASSET]
        for start in range(0, len(results), _BATCH_SIZE):
            now = self._now()
            for summary in results[start : start + _BATCH_SIZE]:
                target = targets.get(summary.id)
                if target is not None:
                    remaining_targets.pop(target.id, None)
                    try:
                        self._apply(target, summary, now, jitter)
                    except Exception as error:  # noqa: BLE001 - ends the waits for this target only
                        self._registry.fail(target, error)
            await asyncio.sleep(0)

    def _apply(self, target: PollTarget, summary: DataAssetSummary, now: float, jitter: float) -> None:
        """Apply the summary of a data asset: it suffices for a success, but a read must explain a failure."""
        target.mark_found(summary.created)
        for wait in [*target.waits]:
            wait.observe(summary)
            outcome = wait.outcome(summary)
            if outcome is Outcome.PENDING:
                continue
            if outcome is Outcome.SUCCEEDED and target.is_found_by_search:
                self._monitor.confirm_from_search()
            if outcome is Outcome.FAILED or wait.needs_full_read:
                target.needs_read = True
            else:
                self._registry.resolve(target, wait)
        target.is_found_by_search = True
        if target.needs_read:
            target.next_poll_at = now
        else:
            self._registry.reschedule(target, now, jitter)
