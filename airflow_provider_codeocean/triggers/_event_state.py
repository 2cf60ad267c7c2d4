"""What a trigger that watches remembers of what it has told, where that outlives the triggerer."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.compat.state import states_of_watched_assets
from airflow_provider_codeocean.events.seen_set import BASELINE, TOLD, Seen, told_to_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_codeocean.compat.event_trigger import BaseEventTrigger
    from airflow_provider_codeocean.compat.state import AsyncState

log = logging.getLogger(__name__)

#: Seconds between two attempts to reach the state of an asset: at first, and at most.
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class Memory:
    """What has been told of, in the state of each asset that a trigger watches for.

    Before Airflow 3.3 assets have no state: then nothing outlives the triggerer.

    :param trigger: the trigger, in the triggerer.
    :param from_now_on: what is there at the first look for an asset is old to it.
    :ivar told: what is written down.
    """

    def __init__(self, trigger: BaseEventTrigger, *, from_now_on: bool) -> None:
        self.told: Seen | None = None
        self._states = states_of_watched_assets(trigger)
        self._new: list[AsyncState] = []
        self._from_now_on = from_now_on

    async def read(self) -> Seen | None:
        """Read what all assets have been told of, however often that takes.

        :returns: what they have; None where there has been no look.
        """
        marks = []
        for state in self._states:
            mark = await _insist(partial(_read, state))
            if mark is None:
                self._new.append(state)
            else:
                marks.append(mark)
        if self._from_now_on or not self._new:
            self.told = told_to_all(marks)
        return self.told

    async def begin(self, seen: Seen) -> None:
        """Write down what is old to assets for which nobody has looked before, however often that takes.

        :param seen: what there was at the first look.
        """
        if not self._from_now_on:
            return
        for state in self._new:
            # In this order: it has begun once the second is there.
            await _insist(partial(state.aset, BASELINE, seen.written()))
            await _insist(partial(state.aset, TOLD, seen.written()))
        self.told = self.told or seen

    async def write(self, seen: Seen) -> None:
        """Write down what has been told of; where that fails, it is still to be written.

        :param seen: what has.
        """
        try:
            for state in self._states:
                await state.aset(TOLD, seen.written())
        except Exception as error:  # noqa: BLE001 - whatever Airflow's trouble is, the watch goes on
            log.warning("What was told could not be written down, trying again: %s", error)
        else:
            self.told = seen


async def _read(state: AsyncState) -> Seen | None:
    written = await state.aget(TOLD)
    return None if written is None else Seen.read(written)


async def _insist(attempt: Callable[[], Awaitable[Any]]) -> Any:
    pause = _PAUSE
    while True:
        try:
            return await attempt()
        except Exception as error:  # noqa: BLE001 - whatever Airflow's trouble is, the watch goes on
            log.warning("The state of a watched asset is not to be had, trying again: %s", error)
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)
