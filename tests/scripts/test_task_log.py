from __future__ import annotations

import json

from scripts.task_log import format_task_log


def test_format_task_log_airflow_3_events_become_lines():
    lines = [
        {"timestamp": "2026-11-21T01:20:20.391Z", "level": "info", "event": "::group::Pre Execute"},
        {"timestamp": "2026-11-21T01:20:21.391Z", "level": "info", "event": "Created", "task_id": "capture"},
        {
            "timestamp": "2026-11-21T01:20:25.723Z",
            "level": "error",
            "event": "Task failed with exception",
            "error_detail": [
                {"exc_type": "AirflowFailException", "exc_value": "no such thing", "is_cause": False},
                {"exc_type": "NotFound", "exc_value": "404", "is_cause": True},
            ],
        },
    ]
    assert format_task_log("\n".join(map(json.dumps, lines))).splitlines() == [
        "01:20:21 info    Created",
        "01:20:25 error   Task failed with exception",
        "    AirflowFailException: no such thing",
        "    caused by NotFound: 404",
    ]


def test_format_task_log_plain_text_is_unchanged():
    text = '[2026-11-21] {taskinstance.py:1} ERROR - Task failed\nTraceback ...\n[1, 2]\n{"cut off'
    assert format_task_log(text) == text
