"""A retry policy for the operators and sensors of this package, for Airflow 3.3 and later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api import errors
from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from airflow.sdk import ExceptionRetryPolicy

#: What follows an error: whether the task is retried, or after which delay.
Retry = bool | timedelta


def codeocean_retry_policy(
    *,
    start_failures: Retry = True,
    failed_runs: Retry = False,
    rate_limited: Retry = timedelta(minutes=5),
    unavailable: Retry = True,
    timeouts: Retry = True,
) -> ExceptionRetryPolicy:
    """Return a ``retry_policy`` for tasks, which distinguishes why a task of this package failed.

    For each kind of error, True retries the task after its ``retry_delay``, a timedelta retries it after this
    delay, and False fails it at once. No policy exceeds the ``retries`` of the task. Other errors follow
    Airflow's rules; invalid input, missing permissions, and failed data assets are never retried.

    Source: Airflow's guide "Retry policies".

    :param start_failures: a computation has ended before anything ran.
    :param failed_runs: a computation has run and failed, or was stopped. A retry runs it again.
    :param rate_limited: Code Ocean has rejected requests with HTTP 429 for longer than the client retries.
    :param unavailable: Code Ocean or the host of a file did not respond, or responded with a server error.
    :param timeouts: a job was still pending after the ``timeout``. A retry continues to wait for it.
    :returns: the policy, an instance of Airflow's ``ExceptionRetryPolicy``.
    :raises TypeError: if an argument is neither a bool nor a timedelta.
    :raises ValueError: if a timedelta is negative.
    :raises RuntimeError: on an Airflow before 3.3, which has no retry policies.
    """
    kinds: dict[str, tuple[Retry, list[type[BaseException]]]] = {  # the first that fits applies
        "start_failures": (start_failures, [errors.ComputationStartFailed]),
        "failed_runs": (failed_runs, [errors.ComputationFailed]),
        "rate_limited": (rate_limited, [errors.RateLimited]),
        "unavailable": (unavailable, [errors.CodeOceanTransportError, errors.ServerError]),
        "timeouts": (timeouts, [errors.WaitTimeout]),
    }
    for name, (retry, _) in kinds.items():
        if not isinstance(retry, bool | timedelta):
            raise TypeError(f"{name} must be True, False, or a timedelta, got {retry!r}")
        if isinstance(retry, timedelta) and retry < timedelta():
            raise ValueError(f"{name} must not be negative, got {retry!r}")
    if not Feature.RETRY_POLICY.is_available:
        raise RuntimeError("codeocean_retry_policy needs Airflow 3.3 or later: use retries and retry_delay")
    from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

    return ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=list(classes),
                action=RetryAction.FAIL if retry is False else RetryAction.RETRY,
                retry_delay=retry if isinstance(retry, timedelta) else None,
                reason=f"codeocean_retry_policy: {name}",
            )
            for name, (retry, classes) in kinds.items()
        ]
    )
