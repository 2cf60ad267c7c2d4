"""Retry policy of both clients.

==================================  ====================  ========================================
Error                               safe or idempotent    non-idempotent
==================================  ====================  ========================================
429                                 retried               retried: the server did nothing
not connected                       retried               retried: the server did nothing
502, 503, 504                       retried               raised: it may have been applied
no response, or not the API's       retried               raised: it may have been applied
any other error                     raised                raised
==================================  ====================  ========================================

The delay is exponential with jitter, and added to ``Retry-After`` if the server sends it. Retrying ends
before a delay that would exceed the budget.
"""

from __future__ import annotations

import logging
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from tenacity import RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, RateLimited, ServerError
from airflow_provider_codeocean.api.request import Idempotency, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_RETRYABLE_STATUSES = frozenset({502, 503, 504})
_backoff = wait_random_exponential(multiplier=0.5, max=20)


def retry_options(request: Request[Any], retry_budget: float) -> dict[str, Any]:
    """Return the arguments of tenacity's ``Retrying`` and ``AsyncRetrying`` for a request.

    :param request: the request.
    :param retry_budget: seconds from the first attempt to the start of the last.
    :returns: keyword arguments.
    """
    return {
        "retry": retry_if_exception(lambda error: is_retryable(request, error)),
        "wait": _retry_delay,
        "stop": stop_before_delay(retry_budget),
        "before_sleep": _log_retry,
        "reraise": True,
    }


def is_retryable(request: Request[Any], error: BaseException) -> bool:
    """Return whether a request can be retried after an error."""
    if isinstance(error, RateLimited):
        return True
    if isinstance(error, CodeOceanTransportError):
        return error.is_transient and (
            request.idempotency is not Idempotency.NON_IDEMPOTENT or not error.may_have_been_applied
        )
    return (
        isinstance(error, ServerError)
        and error.status in _RETRYABLE_STATUSES
        and request.idempotency is not Idempotency.NON_IDEMPOTENT
    )


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in the header ``Retry-After``, 0 or more; None if it is missing or invalid.

    A date is relative to the server's clock.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        date = _parse_http_date(value)
        if date is None:
            return None
        now = _parse_http_date(headers.get("date", ""))
        seconds = date - (time.time() if now is None else now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _parse_http_date(http_date: str) -> float | None:
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        return None


def _retry_delay(state: RetryCallState) -> float:
    # Added, because Retry-After may always be 0, and so that rejected clients do not all return at once.
    return float(getattr(_last_error(state), "retry_after", None) or 0.0) + _backoff(state)


def _log_retry(state: RetryCallState) -> None:
    # The first one is a warning: it gives the reason for a delay of up to a minute.
    level = logging.WARNING if state.attempt_number == 1 else logging.INFO
    log.log(level, "%s; retrying in %.1f s", _last_error(state), state.upcoming_sleep)


def _last_error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
