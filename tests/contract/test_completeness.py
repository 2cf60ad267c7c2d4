from __future__ import annotations

import pytest

from tests.contract import (  # noqa: F401  registers the methods that they call
    test_sdk_capsules,
    test_sdk_computations,
    test_sdk_custom_metadata,
    test_sdk_data_assets,
)
from tests.contract.sdk_coverage import CLAIMED_METHODS, covers, public_methods


def test_sdk_methods_are_all_covered():
    assert public_methods() == CLAIMED_METHODS


def test_covers_uncalled_method_fails():
    class Owner:
        def method(self) -> None:
            pass

    @covers(Owner, "method")
    def does_not_call_it() -> None:
        pass

    CLAIMED_METHODS.discard("Owner.method")
    with pytest.raises(AssertionError):
        does_not_call_it()
