"""Errors that fail a task for good or keep its retries, and the classes of both."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_codeocean.airflow_errors import (
    fail_without_retry_on_permanent_errors,
    to_airflow_exception,
)
from airflow_provider_codeocean.api import errors
from airflow_provider_codeocean.validation import ArgumentError


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
    assert isinstance(caught.value, type(error))
    assert caught.value.__cause__ is error


def test_fail_without_retry_with_invalid_argument_names_it():
    with pytest.raises(AirflowFailException) as caught, fail_without_retry_on_permanent_errors():
        raise ArgumentError(("name", "must not be empty"))
    assert isinstance(caught.value, ArgumentError)
    assert "name must not be empty" in str(caught.value).replace(":", "")


@pytest.mark.parametrize(
    "error",
    [
        errors.RateLimited(429, "slow down"),
        errors.ServerError(500, "oops"),
        errors.CodeOceanTransportError("unreachable"),
        errors.WaitTimeout("not ready"),
    ],
)
def test_fail_without_retry_with_transient_error_raises_airflow_exception(error):
    error.server = "https://codeocean.test"
    with pytest.raises(AirflowException) as caught, fail_without_retry_on_permanent_errors():
        raise error
    assert not isinstance(caught.value, AirflowFailException)
    assert isinstance(caught.value, type(error))
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)
    assert caught.value.__cause__ is None


def test_fail_without_retry_when_nested_converts_once():
    with (
        pytest.raises(AirflowException) as caught,
        fail_without_retry_on_permanent_errors(),
        fail_without_retry_on_permanent_errors(),
    ):
        raise errors.NotFound(404, "nothing there")
    assert type(caught.value).__name__ == "CodeOceanNotFound"


def test_fail_without_retry_with_foreign_error_raises_it_unchanged():
    error = RuntimeError("of another kind")
    with pytest.raises(RuntimeError) as caught, fail_without_retry_on_permanent_errors():
        raise error
    assert caught.value is error


@pytest.mark.parametrize("own_class", [errors.ComputationFailed, errors.ComputationStartFailed])
def test_exception_of_both_classes_is_of_subclasses_too(own_class):
    converted = to_airflow_exception(own_class("no machine"), AirflowException)
    assert isinstance(converted, AirflowException)
    assert isinstance(converted, errors.ComputationFailed)
    assert isinstance(converted, errors.ComputationStartFailed) is (
        own_class is errors.ComputationStartFailed
    )


def test_fail_without_retry_without_error_does_nothing():
    with fail_without_retry_on_permanent_errors():
        pass
