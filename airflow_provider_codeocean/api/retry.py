"""When a request may be sent again: one policy for both clients.

==============================  ==========================  ==========================================
What happened                   reads, and repeatable       creates or starts something
==============================  ==========================  ==========================================
429                             again                       again: the server did not act
not connected                   again                       again: the server did not act
502, 503, 504                   again                       raised, it may have been done
answer lost or not the API's    again                       raised, it may have been done
any other error                 raised                      raised
==============================  ==========================  ==========================================

It waits exponentially longer with jitter, beyond what ``Retry-After`` says where the server sends it, and
gives up before a wait that would go beyond the time budget.
"""

from __future__ import annotations

import logging
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from tenacity import RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, RateLimited, ServerError
from airflow_provider_codeocean.api.request import Call, Effect

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_PASSING_TROUBLE = frozenset({502, 503, 504})
_backoff = wait_random_exponential(multiplier=0.5, max=20)


def policy(call: Call[Any], budget: float) -> dict[str, Any]:
    """Return the arguments of tenacity's ``Retrying`` and ``AsyncRetrying`` for a request.

    :param call: the request.
    :param budget: seconds from the first attempt to the start of the last.
    :returns: keyword arguments.
    """
    return {
        "retry": retry_if_exception(lambda error: may_resend(call, error)),
        "wait": _wait,
        "stop": stop_before_delay(budget),
        "before_sleep": _log_retry,
        "reraise": True,
    }


def may_resend(call: Call[Any], error: BaseException) -> bool:
    """Tell whether a request may be sent again after an error.

    :param call: the request.
    :param error: what it ended in.
    :returns: whether it may.
    """
    if isinstance(error, RateLimited):
        return True
    if isinstance(error, CodeOceanTransportError):
        return error.transient and (call.effect is not Effect.ONCE or not error.maybe_applied)
    return (
        isinstance(error, ServerError) and error.status in _PASSING_TROUBLE and call.effect is not Effect.ONCE
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read the header ``Retry-After``: seconds, or a date, which is taken relative to the server's own clock.

    :param headers: the answer's headers, by any case.
    :returns: seconds, 0 or more; None where there is no header or it says nothing intelligible.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        date = _unix_seconds(value)
        if date is None:
            return None
        now = _unix_seconds(headers.get("date", ""))
        seconds = date - (time.time() if now is None else now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _unix_seconds(http_date: str) -> float | None:
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        return None


def _wait(state: RetryCallState) -> float:
    # Beyond it, not just as long: it may be 0 for ever, and all who were refused would come back at once.
    return float(getattr(_error(state), "retry_after", None) or 0.0) + _backoff(state)


def _log_retry(state: RetryCallState) -> None:
    # The first is a warning, so that the reason is seen while further retries may take a minute.
    level = logging.WARNING if state.attempt_number == 1 else logging.INFO
    log.log(level, "%s; trying again in %.1f s", _error(state), state.upcoming_sleep)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
