"""The check that HttpTrigger is given; it imports this module anew at each poll."""

from __future__ import annotations

from typing import Any


async def is_terminal(response: Any) -> bool:
    """Tell whether the data asset is no draft any more."""
    return response.json()["state"] in ("ready", "failed")
