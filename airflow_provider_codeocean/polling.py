"""Waiting for a data asset, without the I/O: what to make of each look at it, and how long to sleep.

A driver looks (a sync one in the hook, an async one in the trigger), tells the wait what it saw or which
error it got, and sleeps for as long as the wait says. Knows nothing of Airflow.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    DataAssetFailed,
    WaitTimeout,
)
from airflow_provider_codeocean.states import Verdict, data_asset_verdict, describe_failure

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from airflow_provider_codeocean.api.models.data_asset import DataAsset

log = logging.getLogger(__name__)


class DataAssetWait:
    """One wait for one data asset to be ready.

    :param data_asset_id: id of the data asset.
    :param poll_interval: seconds between two looks, above 0.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    """

    def __init__(self, data_asset_id: str, *, poll_interval: float, deadline: float | None) -> None:
        self.data_asset_id = data_asset_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.last_state: str | None = None
        self._asked_to_wait = 0.0
        self._last_error: CodeOceanError | None = None

    def is_over(self, asset: DataAsset) -> bool:
        """Take what a look showed.

        :param asset: the data asset.
        :returns: whether it is ready.
        :raises DataAssetFailed: where its creation failed.
        """
        if asset.state != self.last_state:
            log.info("Data asset %s is in state %s", self.data_asset_id, asset.state)
            self.last_state = asset.state
        verdict = data_asset_verdict(asset)
        if verdict is Verdict.FAILED:
            raise DataAssetFailed(describe_failure(asset))
        return verdict is Verdict.SUCCEEDED

    def bear(self, error: CodeOceanError) -> None:
        """Take that a look did not succeed: a server in trouble or out of reach is waited for.

        :param error: why it did not.
        :raises CodeOceanError: the error, where looking again cannot help.
        """
        if not error.transient:
            raise error
        self._last_error = error
        self._asked_to_wait = getattr(error, "retry_after", None) or 0.0
        log.warning("Could not look at data asset %s, waiting on: %s", self.data_asset_id, error)

    def pause(self) -> float:
        """Return the seconds to sleep before the next look.

        It is longer where the server asked for it, and never beyond the deadline.

        :returns: seconds.
        :raises WaitTimeout: where the deadline has passed.
        """
        seconds = max(self.poll_interval, self._asked_to_wait)
        self._asked_to_wait = 0.0
        if self.deadline is None:
            return seconds
        left = self.deadline - time.time()
        if left <= 0:
            raise WaitTimeout(
                f"Data asset {self.data_asset_id} was not ready in time; its last state was "
                f"{self.last_state or f'unknown ({self._last_error})'}. It is left as it is."
            )
        return min(seconds, left)


def deadline_after(
    timeout: float, *, execution_timeout: timedelta | None = None, started: datetime | None = None
) -> float:
    """Return when a wait that begins now is to end.

    :param timeout: seconds to wait.
    :param execution_timeout: how long the task may run, which ends the wait as well.
    :param started: when the task was started.
    :returns: the time, in Unix seconds.
    """
    deadline = time.time() + timeout
    if execution_timeout is None or started is None:
        return deadline
    return min(deadline, started.timestamp() + execution_timeout.total_seconds())
