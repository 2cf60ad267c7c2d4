"""Idempotency keys: identical for every attempt of a task, so that a retry finds the submitted job."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY_PREFIX = "airflow"
_KEY_PATTERN = re.compile(rf"\b{_KEY_PREFIX}[0-9a-f]{{32}}\b", re.IGNORECASE)
_TRUNCATED_KEY_PATTERN = re.compile(rf"\b{_KEY_PREFIX}[0-9a-f]{{4,31}}\b", re.IGNORECASE)
#: Values of ``max_tries``, relative to the current one, that an earlier run of the task may have had.
_MAX_TRIES_RANGE_BELOW = 100
_MAX_TRIES_RANGE_ABOVE = 20

OnExisting = Literal["adopt", "create", "fail"]


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """One attempt of one task instance.

    :param dag_id: id of the DAG.
    :param run_id: id of the DAG run.
    :param task_id: id of the task.
    :param map_index: index of a mapped task; -1 for others.
    :param try_number: number of the attempt, from 1, counted across Clears.
    :param max_tries: Airflow's column of this name. Only a Clear changes it (editing ``retries`` does not),
        so it identifies the attempts between two Clears.
    :param was_cleared: whether ``max_tries`` shows that the task was cleared.
    :param namespace: distinguishes Airflow deployments whose DAGs and runs have the same ids.
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
    """The key of a submission, and the keys that the task may have used before it was cleared.

    :param current: the key.
    :param previous: earlier keys. Submitting fails if a job has one of them.
    """

    current: str
    previous: tuple[str, ...] = ()

    @classmethod
    def derive(
        cls, attempt: TaskAttempt, job_identity: Mapping[str, Any], on_existing: OnExisting
    ) -> IdempotencyKeys:
        """Derive the keys of a submission.

        :param attempt: the attempt.
        :param job_identity: the content that identifies the job, as JSON values. Exclude values that may
            differ between attempts, such as the display name.
        :param on_existing: what a cleared task does with the job that it submitted before.
        :returns: the keys.
        """
        if on_existing == "adopt":
            return cls(idempotency_key(attempt, job_identity))
        run = attempt.max_tries
        earlier: set[int] = set()
        if on_existing == "fail" and attempt.try_number > 1:
            # A Clear sets max_tries to the attempts so far plus the current retries. After an edit of
            # retries, an earlier run may have the greater value.
            earlier = {0, *range(max(0, run - _MAX_TRIES_RANGE_BELOW), run + _MAX_TRIES_RANGE_ABOVE)} - {run}
        return cls(
            idempotency_key(attempt, job_identity, run),
            tuple(idempotency_key(attempt, job_identity, generation) for generation in sorted(earlier)),
        )


def idempotency_key(attempt: TaskAttempt, job_identity: Mapping[str, Any], generation: int = 0) -> str:
    """Return a key: ``airflow`` and 32 hexadecimal digits, which any search treats as one word.

    :param attempt: the attempt; all attempts of a task have the same key.
    :param job_identity: see :meth:`IdempotencyKeys.derive`.
    :param generation: distinguishes runs of the task that must not share a job.
    :returns: the key.
    """
    task = [attempt.namespace, attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index]
    identity = [*task, generation, job_identity]
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return f"{_KEY_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def extract_key(text: str) -> str | None:
    """Return the last key in a tag or display name, in lower case, or None."""
    keys = _KEY_PATTERN.findall(text)
    return keys[-1].lower() if keys else None


def has_other_key(text: str, key: str) -> bool:
    """Return whether a display name contains a different key, complete or truncated."""
    complete = extract_key(text)
    if complete is not None:
        return complete != key
    return any(not key.startswith(part.lower()) for part in _TRUNCATED_KEY_PATTERN.findall(text))


def is_key(tag: str) -> bool:
    """Return whether a tag is a key and nothing else."""
    return _KEY_PATTERN.fullmatch(tag) is not None


def strip_keys(text: str) -> str:
    """Return a display name without keys."""
    return " ".join(_KEY_PATTERN.sub(" ", text).split())


def append_key(text: str, key: str) -> str:
    """Return a display name that ends with the key and contains no other key."""
    return f"{strip_keys(text)} {key}".lstrip()
