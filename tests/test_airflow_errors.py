"""Which errors fail a task for good, and which keep its retries."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.airflow_errors import fail_without_retry_on_permanent_errors
from airflow_provider_codeocean.api import errors


@pytest.mark.parametrize(
    "error",
    [
        ValueError("name: must not be empty"),
        errors.BadRequest(400, "no such path"),
        errors.Unauthorized(401, "who?"),
        errors.Forbidden(403, "not yours"),
        errors.NotFound(404, "nothing there"),
        errors.DataAssetFailed("no such bucket"),
    ],
)
def test_fail_without_retry_with_permanent_error_raises_fail_exception(error):
    with pytest.raises(AirflowFailException) as caught, fail_without_retry_on_permanent_errors():
        raise error
    assert str(caught.value) == str(error)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        errors.RateLimited(429, "slow down"),
        errors.ServerError(500, "oops"),
        errors.CodeOceanTransportError("unreachable"),
        errors.WaitTimeout("not ready"),
        RuntimeError("of another kind"),
    ],
)
def test_fail_without_retry_with_transient_error_raises_it_unchanged(error):
    with pytest.raises(type(error)) as caught, fail_without_retry_on_permanent_errors():
        raise error
    assert caught.value is error


def test_fail_without_retry_without_error_does_nothing():
    with fail_without_retry_on_permanent_errors():
        pass
