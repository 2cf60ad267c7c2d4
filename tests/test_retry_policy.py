"""The retry policy distinguishes errors by their classes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_codeocean.airflow_errors import to_airflow_exception
from airflow_provider_codeocean.api import errors
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.retry_policy import codeocean_retry_policy

needs_policies = pytest.mark.skipif(
    not Feature.RETRY_POLICY.is_available, reason="Airflow 3.3 and later have retry policies"
)

ERRORS = {
    "start_failures": errors.ComputationStartFailed("no machine"),
    "failed_runs": errors.ComputationFailed("exit code 1"),
    "rate_limited": errors.RateLimited(429, "slow down"),
    "unavailable": errors.ServerError(503, "busy"),
    "timeouts": errors.WaitTimeout("pending"),
}


def decide(policy, error):
    from airflow.sdk import RetryAction

    exception = to_airflow_exception(error, AirflowException)
    decision = policy.evaluate(exception=exception, try_number=1, max_tries=3)
    return {RetryAction.RETRY: True, RetryAction.FAIL: False}.get(decision.action), decision.retry_delay


@needs_policies
@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("retry", [True, False, timedelta(seconds=7)])
def test_argument_decides_about_its_errors_only(name, retry):
    others = {other: retry is False for other in ERRORS if other != name}
    policy = codeocean_retry_policy(**{name: retry, **others})
    delay = retry if isinstance(retry, timedelta) else None
    assert decide(policy, ERRORS[name]) == (retry is not False, delay)
    for other, expected in others.items():
        assert decide(policy, ERRORS[other]) == (expected, None)


@needs_policies
def test_default_policy_does_not_repeat_a_run_that_has_failed():
    policy = codeocean_retry_policy()
    assert {name: decide(policy, error)[0] for name, error in ERRORS.items()} == {
        "start_failures": True,
        "failed_runs": False,
        "rate_limited": True,
        "unavailable": True,
        "timeouts": True,
    }
    assert decide(policy, ERRORS["rate_limited"])[1] == timedelta(minutes=5)
    assert decide(policy, errors.CodeOceanTransportError("unreachable"))[0] is True


@needs_policies
def test_policy_leaves_other_errors_to_airflow():
    assert decide(codeocean_retry_policy(), errors.DownloadFailed("too short"))[0] is None
    assert (
        codeocean_retry_policy().evaluate(exception=KeyError(), try_number=1, max_tries=1).retry_delay is None
    )


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("5m", TypeError, "rate_limited must be True, False, or a timedelta, got '5m'"),
        (timedelta(seconds=-1), ValueError, "rate_limited must not be negative"),
    ],
)
def test_policy_with_invalid_argument_names_it(value, error, message):
    with pytest.raises(error, match=message):
        codeocean_retry_policy(rate_limited=value)


@pytest.mark.skipif(Feature.RETRY_POLICY.is_available, reason="this Airflow has retry policies")
def test_policy_before_airflow_3_3_fails_with_alternative():
    with pytest.raises(RuntimeError, match="needs Airflow 3"):
        codeocean_retry_policy()
