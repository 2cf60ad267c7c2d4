"""The HTTP library: httpx2 if it is installed, otherwise httpx, from which it was forked.

Until 3.3, Airflow requires httpx; from 3.4 on, its Task SDK requires httpx2. If both are installed, httpx2 is
the one that Airflow 3.4 has loaded anyway, and the one that is maintained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx

__all__ = ["httpx"]
