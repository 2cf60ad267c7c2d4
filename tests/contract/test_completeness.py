from __future__ import annotations

import pytest

from tests.contract import (  # noqa: F401  registers what the tests exercise
    test_sdk_capsules,
    test_sdk_computations,
    test_sdk_custom_metadata,
    test_sdk_data_assets,
)
from tests.contract.exercises import EXERCISED, exercises, public_methods


def test_every_method_of_the_sdk_is_exercised():
    assert public_methods() == EXERCISED


def test_a_claim_that_is_not_kept_fails():
    class Owner:
        def method(self) -> None:
            pass

    @exercises(Owner, "method")
    def does_not_call_it() -> None:
        pass

    EXERCISED.discard("Owner.method")
    with pytest.raises(AssertionError):
        does_not_call_it()
