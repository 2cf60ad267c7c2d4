"""The error tree: complete, readable, and fit to travel between processes."""

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
            maybe_applied=True,
        )
    if issubclass(kind, CodeOceanTransportError):
        return kind("cut off", maybe_applied=True, transient=False)
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
def test_it_arrives_as_it_left(kind, travel):
    error = instance(kind)
    error.add_note("seen in task t1")
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))
    assert arrived.maybe_applied is error.maybe_applied


@every_kind
def test_it_is_in_the_tree_of_the_docstring(kind):
    tree = re.findall(r"^(.*?)(\w+)  ", errors.__doc__, re.MULTILINE)
    depth = {name: len(indent) // 4 for indent, name in tree}
    assert depth[kind.__name__] - depth["CodeOceanError"] == len(kind.__mro__) - len(CodeOceanError.__mro__)


def test_the_text_says_what_was_asked_and_what_came_back():
    assert str(instance(RateLimited)) == "Code Ocean answered 429 to GET data_assets/a1: slow down"
    assert str(CodeOceanApiError(418, "teapot")) == "Code Ocean answered 418: teapot"
    assert str(instance(CodeOceanTransportError)) == "cut off"


def test_nothing_was_applied_unless_it_is_said():
    for error in (CodeOceanError("x"), CodeOceanTransportError("x"), CodeOceanApiError(500, "x")):
        assert error.maybe_applied is False
    assert CodeOceanTransportError("x").transient is True


def test_what_sending_again_cannot_mend():
    names = {
        name
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, CodeOceanError) and not error.transient
    }
    assert names == {
        "CodeOceanApiError",
        "BadRequest",
        "Unauthorized",
        "Forbidden",
        "NotFound",
        "AlreadyExists",
        "ComputationFailed",
        "DataAssetFailed",
        "FilesElsewhere",
        "TransferFailed",
    }
