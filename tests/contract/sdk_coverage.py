"""Tracks the SDK methods that the contract tests call."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from codeocean.capsule import Capsules
from codeocean.computation import Computations
from codeocean.custom_metadata import CustomMetadataSchema
from codeocean.data_asset import DataAssets
from codeocean.pipeline import Pipelines

if TYPE_CHECKING:
    from collections.abc import Callable

SDK_CLASSES = (Capsules, Computations, CustomMetadataSchema, DataAssets, Pipelines)

CLAIMED_METHODS: set[str] = set()
"""Methods that a test claims to call; each such test fails if it does not."""


def public_methods() -> set[str]:
    """Return the methods of the SDK as ``Class.method``."""
    return {
        f"{owner.__name__}.{name}"
        for owner in SDK_CLASSES
        for name, _ in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_")
    }


def covers(owner: type, *names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test that calls these methods, and check that it does."""
    CLAIMED_METHODS.update(f"{owner.__name__}.{name}" for name in names)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def checked(*args: Any, **kwargs: Any) -> None:
            called: set[str] = set()
            originals = {name: getattr(owner, name) for name in names}

            def recording(name: str) -> Callable[..., Any]:
                def record(*args: Any, **kwargs: Any) -> Any:
                    called.add(name)
                    return originals[name](*args, **kwargs)

                return record

            for name in names:
                setattr(owner, name, recording(name))
            try:
                test(*args, **kwargs)
            finally:
                for name, original in originals.items():
                    setattr(owner, name, original)
            assert called == set(names)

        return checked

    return decorate
