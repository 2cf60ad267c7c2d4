"""Format task logs: Airflow 3 writes JSON lines, Airflow 2 text."""

from __future__ import annotations

import json
from typing import Any


def format_task_log(log: str) -> str:
    """Return time, level, and message of each event, and the type and message of exceptions.

    :param log: the contents of a log file, or the end of them.
    """
    return "\n".join(line for text in log.splitlines() for line in _format_line(text))


def _format_line(line: str) -> list[str]:
    try:
        event = json.loads(line)
    except ValueError:
        return [line]
    if not isinstance(event, dict) or "event" not in event:
        return [line]
    message = str(event["event"])
    if message.startswith(("::group::", "::endgroup::")):  # folds lines in the UI
        return []
    head = f"{event.get('timestamp', '')[11:19]} {event.get('level', ''):<7} {message}"
    return [head, *map(_format_exception, event.get("error_detail") or [])]


def _format_exception(detail: dict[str, Any]) -> str:
    prefix = "caused by " if detail.get("is_cause") else ""
    return f"    {prefix}{detail.get('exc_type')}: {detail.get('exc_value')}"
