"""Looking at many data assets at once: a search, newest first, shows a thousand of them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    CodeOceanTransportError,
    RateLimited,
    Unauthorized,
)
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams, DataAssetSortField
from airflow_provider_codeocean.api.models.glance import Glance, GlancePage
from airflow_provider_codeocean.api.models.search import SortOrder
from airflow_provider_codeocean.polling.plan import Depths, Plan, choose, worth_going_on
from airflow_provider_codeocean.polling.wait import Kind
from airflow_provider_codeocean.polling.watched import jitter
from airflow_provider_codeocean.states import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_codeocean.api.call import Call
    from airflow_provider_codeocean.polling.pace import Pace
    from airflow_provider_codeocean.polling.sender import Sender
    from airflow_provider_codeocean.polling.trust import Trust
    from airflow_provider_codeocean.polling.watched import Watched
    from airflow_provider_codeocean.polling.watchlist import Watchlist

log = logging.getLogger(__name__)

#: How many times as long as a search took none follows, so that searching is a tenth of the time at most.
_REST = 10.0
#: Seconds for a page of a search: what is due does not wait for it longer than that.
_PAGE_SECONDS = 10.0
#: How many results are taken before others in the event loop have their turn.
_AT_ONCE = 250


class Searching:
    """Looks with searches, for one poller.

    :param watchlist: what to look at.
    :param sender: sends the requests.
    :param pace: says whether the connection is in trouble.
    :param trust: says how far searches are believed, and is told what they show.
    :param now: the event loop's clock.
    :param name: name of the connection.
    """

    def __init__(
        self,
        watchlist: Watchlist,
        sender: Sender,
        pace: Pace,
        trust: Trust,
        now: Callable[[], float],
        *,
        name: str,
    ) -> None:
        self._name = name
        self._watchlist = watchlist
        self._sender = sender
        self._pace = pace
        self._trust = trust
        self._now = now
        self._depths = Depths()
        self._rest_until = now()

    async def look_for(self, due: list[Watched]) -> None:
        """Look with a search, if that saves requests. What it does not show stays due.

        :param due: what is to be looked at.
        """
        now = self._now()
        if self._pace.in_trouble or not self._trust.is_usable(now):
            return
        try:
            await self._look_for(due, now)
        except (RateLimited, Unauthorized):  # which are not about searches
            return
        except Exception as error:  # whatever it is, the waits go on without searches
            seconds = self._trust.search_failed(self._now())
            log.warning(
                "Connection %s: searching failed, doing without it for %.0f s: %s",
                self._name,
                seconds,
                error,
                exc_info=not isinstance(error, CodeOceanError),
            )

    async def _look_for(self, due: list[Watched], now: float) -> None:
        targets = [each for each in self._watchlist if each.is_almost_due(now) and each.may_be_searched(now)]
        wall = time.time()
        plan = choose([self._depths.of(each.created, wall) for each in targets])
        if not plan.pages:
            return
        if now < self._rest_until:
            for each in due:
                if each.may_be_searched(now):
                    each.due = self._rest_until
            return
        try:
            await self._search(plan, {each.id: each for each in targets})
        finally:
            took = self._now() - now
            self._rest_until = self._now() + min(_REST * took, *(each.every for each in targets))

    async def _search(self, plan: Plan, unseen: dict[str, Watched]) -> None:
        params = DataAssetSearchParams(
            limit=plan.size, sort_field=DataAssetSortField.CREATED, sort_order=SortOrder.DESCENDING
        )
        calls = DataAssets.search_all.pages(DataAssets.root, params)
        call: Call[Any] | None = next(calls)
        pages = results = 0
        oldest: float | None = None
        part = jitter()
        oldest_wanted = min((each.created or 0.0) for each in unseen.values())
        while call is not None:
            asked_at = self._now()
            page = await self._page(replace(call, answers=GlancePage))
            stands_still_for = self._trust.check(page.results, asked_at)
            if stands_still_for:
                log.warning(
                    "Connection %s: searches show what was long ago, doing without them for %.0f s",
                    self._name,
                    stands_still_for,
                )
                return
            pages, results, before = pages + 1, results + len(page.results), len(unseen)
            await self._take_page(page, unseen, part)
            oldest = page.results[-1].created if page.results else None
            if oldest is not None:
                self._depths.learn(oldest, results)
                if oldest < oldest_wanted:
                    break
            if not worth_going_on(plan, pages, before - len(unseen), len(unseen)):
                break
            call = _next_call(calls, page)
        self._trust.search_worked()
        all_were_shown = call is None
        for watched in unseen.values():
            newer = oldest is not None and watched.created is not None and watched.created > oldest
            if all_were_shown or newer:  # else the search did not go that far
                watched.was_not_shown(self._now())

    async def _page(self, call: Call[GlancePage]) -> GlancePage:
        await self._sender.turn()
        try:
            async with asyncio.timeout(_PAGE_SECONDS):
                return await self._sender.send(call, "search")
        except TimeoutError as error:
            raise CodeOceanTransportError(f"no answer within {_PAGE_SECONDS:g} s") from error

    async def _take_page(self, page: GlancePage, unseen: dict[str, Watched], part: float) -> None:
        for begin in range(0, len(page.results), _AT_ONCE):
            for glance in page.results[begin : begin + _AT_ONCE]:
                watched = self._watchlist.get(Kind.DATA_ASSET, glance.id)
                if watched is not None:
                    unseen.pop(watched.id, None)
                    self.take(watched, glance, part)
            await asyncio.sleep(0)

    def take(self, watched: Watched, glance: Glance, part: float) -> None:
        """Take what a search shows of one data asset.

        Its word is enough for a success: who waited reads the data asset anyway, or wants it to be read
        here. A failure is read first, for its reason.

        :param watched: the data asset.
        :param glance: what the search shows of it.
        :param part: the part of its interval until it is looked at again.
        """
        watched.was_shown(glance.created)
        must_be_read = False
        for wait in list(watched.waits):
            wait.note(glance)
            verdict = wait.verdict(glance)
            if verdict is Verdict.SUCCEEDED:
                if watched.shown:
                    self._trust.search_showed_an_end()
                if not wait.wants_to_read:
                    self._watchlist.over(watched, wait)
            if verdict is Verdict.FAILED or (verdict is Verdict.SUCCEEDED and wait.wants_to_read):
                must_be_read = True
        watched.shown = True
        if must_be_read:
            watched.due = self._now()
        else:
            self._watchlist.goes_on(watched, part)


def _next_call(calls: Any, page: GlancePage) -> Any:
    try:
        return calls.send(page)
    except StopIteration:
        return None
