"""The error tree: documented, printable, and picklable."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from airflow_provider_codeocean.api import errors
from airflow_provider_codeocean.api.errors import (
    CodeOceanApiError,
    CodeOceanError,
    CodeOceanTransportError,
    RateLimited,
)

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CodeOceanError)
]


def instance(kind):
    if issubclass(kind, CodeOceanApiError):
        return kind(
            429,
            "slow down",
            data={"message": "slow down", "more": [1]},
            method="GET",
            path="data_assets/a1",
            retry_after=2.5,
            may_have_been_applied=True,
        )
    if issubclass(kind, CodeOceanTransportError):
        return kind("cut off", may_have_been_applied=True, is_transient=False)
    return kind("it failed")


every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@every_kind
@pytest.mark.parametrize(
    "travel",
    [
        copy.copy,
        copy.deepcopy,
        *[
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ],
    ],
)
def test_error_copied_or_pickled_is_equal(kind, travel):
    error = instance(kind)
    error.add_note("seen in task t1")
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))
    assert arrived.may_have_been_applied is error.may_have_been_applied


@every_kind
def test_error_class_is_in_the_tree_of_the_docstring(kind):
    tree = re.findall(r"^(.*?)(\w+)  ", errors.__doc__, re.MULTILINE)
    depth = {name: len(indent) // 4 for indent, name in tree}
    assert depth[kind.__name__] - depth["CodeOceanError"] == len(kind.__mro__) - len(CodeOceanError.__mro__)


def test_error_message_names_the_request_and_the_response():
    assert str(instance(RateLimited)) == "Code Ocean answered 429 to GET data_assets/a1: slow down"
    assert str(CodeOceanApiError(418, "teapot")) == "Code Ocean answered 418: teapot"
    assert str(instance(CodeOceanTransportError)) == "cut off"


def test_error_defaults_to_not_applied():
    for error in (CodeOceanError("x"), CodeOceanTransportError("x"), CodeOceanApiError(500, "x")):
        assert error.may_have_been_applied is False
    assert CodeOceanTransportError("x").is_transient is True


def test_error_classes_that_are_permanent_match_the_list():
    names = {
        name
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, CodeOceanError) and not error.is_transient
    }
    assert names == {
        "CodeOceanApiError",
        "BadRequest",
        "Unauthorized",
        "Forbidden",
        "NotFound",
        "AlreadyExists",
        "ComputationFailed",
        "ComputationStartFailed",
        "DataAssetFailed",
        "FilesNotInCodeOcean",
        "TransferFailed",
    }
