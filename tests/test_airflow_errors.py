"""Which errors fail a task for good, and which keep its retries."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.airflow_errors import no_retry_for_what_it_cannot_mend
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
def test_what_a_retry_cannot_mend_fails_for_good(error):
    with pytest.raises(AirflowFailException) as caught, no_retry_for_what_it_cannot_mend():
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
def test_what_a_retry_may_mend_keeps_the_retries(error):
    with pytest.raises(type(error)) as caught, no_retry_for_what_it_cannot_mend():
        raise error
    assert caught.value is error


def test_nothing_happens_where_nothing_is_wrong():
    with no_retry_for_what_it_cannot_mend():
        pass
