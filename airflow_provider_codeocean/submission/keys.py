"""Idempotency keys: the same for every attempt of a task, so that a retry finds the job that it left."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "airflow"
_KEY = re.compile(rf"\b{_PREFIX}[0-9a-f]{{32}}\b", re.IGNORECASE)
_CUT_OFF_KEY = re.compile(rf"\b{_PREFIX}[0-9a-f]{{4,31}}\b", re.IGNORECASE)
#: How many values of ``max_tries`` below and above the current one may belong to an earlier run of the task.
_RUNS_BELOW, _RUNS_ABOVE = 100, 20

OnExisting = Literal["adopt", "create", "fail"]


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """One attempt of one task instance.

    :param dag_id: the DAG.
    :param run_id: its run.
    :param task_id: the task.
    :param map_index: index of a mapped task, -1 for others.
    :param try_number: number of the attempt, from 1, counted across Clears.
    :param max_tries: Airflow's column of that name. Only a Clear changes it, an edit of ``retries`` does not,
        so it identifies the attempts between two Clears.
    :param was_cleared: whether ``max_tries`` shows that the task was cleared.
    :param namespace: distinguishes Airflows whose DAGs and runs have the same ids.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int = 0
    was_cleared: bool = False
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class IdempotencyKeys:
    """The key of a submission, and those that the task may have used before it was cleared.

    :param current: the key.
    :param previous: earlier keys, if no job with one of them may exist.
    """

    current: str
    previous: tuple[str, ...] = ()

    @classmethod
    def of(cls, attempt: TaskAttempt, subject: Mapping[str, Any], on_existing: OnExisting) -> IdempotencyKeys:
        """Derive the keys of a submission.

        :param attempt: the task's attempt.
        :param subject: the content that identifies the job, as JSON values. Descriptions of the result, such
            as its name, do not belong here: they may differ between attempts.
        :param on_existing: what a cleared task does with the job that it submitted before.
        :returns: the keys.
        """
        if on_existing == "adopt":
            return cls(idempotency_key(attempt, subject))
        run = attempt.max_tries
        earlier: set[int] = set()
        if on_existing == "fail" and attempt.try_number > 1:
            # A Clear sets max_tries to the attempts so far plus the retries of that moment. Retries may have
            # been edited since, so that an earlier run's value may be the greater one.
            earlier = {0, *range(max(0, run - _RUNS_BELOW), run + _RUNS_ABOVE)} - {run}
        return cls(
            idempotency_key(attempt, subject, run),
            tuple(idempotency_key(attempt, subject, each) for each in sorted(earlier)),
        )


def idempotency_key(attempt: TaskAttempt, subject: Mapping[str, Any], run: int = 0) -> str:
    """Return a key: ``airflow`` and 32 hexadecimal digits, which any search treats as one word.

    It is the same for every attempt.

    :param attempt: the task's attempt.
    :param subject: the content that identifies the job, as JSON values.
    :param run: distinguishes runs of the task that must not share a job.
    :returns: the key.
    """
    task = [attempt.namespace, attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index]
    identity = [*task, run, subject]
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return f"{_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def extract_key(text: str) -> str | None:
    """Return the key in a text, the last if there are several, None if there is none.

    :param text: a tag or a display name.
    :returns: the key, in lower case.
    """
    keys = _KEY.findall(text)
    return keys[-1].lower() if keys else None


def has_other_key(text: str, key: str) -> bool:
    """Return whether a text contains another key than this one, complete or cut off.

    :param text: a display name.
    :param key: the key.
    :returns: whether it does.
    """
    complete = extract_key(text)
    if complete is not None:
        return complete != key
    return any(not key.startswith(part.lower()) for part in _CUT_OFF_KEY.findall(text))


def is_key(tag: str) -> bool:
    """Return whether a tag is a key and nothing else.

    :param tag: the tag.
    :returns: whether it is.
    """
    return _KEY.fullmatch(tag) is not None


def strip_keys(text: str) -> str:
    """Return a display name without the keys that it contains.

    :param text: the name.
    :returns: the name as people gave it.
    """
    return " ".join(_KEY.sub(" ", text).split())


def append_key(text: str, key: str) -> str:
    """Return a display name with a key at its end, and without other keys that it may quote.

    :param text: the name.
    :param key: the key.
    :returns: the name with the key.
    """
    return f"{strip_keys(text)} {key}".lstrip()
