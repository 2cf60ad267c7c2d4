"""Make task logs readable: Airflow 3 writes them as JSON, a line for each event; Airflow 2 as text."""

from __future__ import annotations

import json
from typing import Any


def readable(log: str) -> str:
    """Return a task's log for people: time, level and message, exceptions by type and text.

    :param log: the contents of a log file, or their end.
    """
    return "\n".join(line for text in log.splitlines() for line in _readable_lines(text))


def _readable_lines(line: str) -> list[str]:
    try:
        event = json.loads(line)
    except ValueError:
        return [line]
    if not isinstance(event, dict) or "event" not in event:
        return [line]
    message = str(event["event"])
    if message.startswith(("::group::", "::endgroup::")):  # how the UI folds its log view
        return []
    head = f"{event.get('timestamp', '')[11:19]} {event.get('level', ''):<7} {message}"
    return [head, *map(_exception, event.get("error_detail") or [])]


def _exception(detail: dict[str, Any]) -> str:
    how = "caused by " if detail.get("is_cause") else ""
    return f"    {how}{detail.get('exc_type')}: {detail.get('exc_value')}"
