"""The key of a capture: the same for every try, so that a later one recognises what an earlier one made."""

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

OnExisting = Literal["adopt", "create", "fail"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one task instance.

    :param dag_id: the DAG.
    :param run_id: its run.
    :param task_id: the task.
    :param map_index: index of a mapped task, -1 for others.
    :param try_number: which try this is, from 1 on, over all times that the task was cleared.
    :param first_try: the first try since the task was cleared last; 1 where it was not.
    :param namespace: tells this Airflow from others whose DAGs and runs have the same ids.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    first_try: int = 1
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of a capture, and those by which its earlier runs are known.

    :param own: the key.
    :param former: keys of what the task made before it was cleared, where that must not be there.
    :param first_try: the first try that used the key.
    """

    own: str
    former: tuple[str, ...] = ()
    first_try: int = 1

    @classmethod
    def of(cls, attempt: Attempt, subject: Mapping[str, Any], on_existing: OnExisting) -> Keys:
        """Derive the keys of a capture.

        :param attempt: the task's try.
        :param subject: what is captured and where to, as JSON values. What only describes the result (its
            name, for one) does not belong here: it may change from one try to the next.
        :param on_existing: what a cleared task does with what it made before.
        :returns: the keys.
        """
        if on_existing == "adopt":
            return cls(capture_key(attempt, subject))
        run = attempt.first_try - 1
        former = tuple(capture_key(attempt, subject, earlier) for earlier in range(run))
        return cls(
            capture_key(attempt, subject, run), former if on_existing == "fail" else (), attempt.first_try
        )


def capture_key(attempt: Attempt, subject: Mapping[str, Any], run: int = 0) -> str:
    """Return the key of a capture: ``airflow`` and 32 hexadecimal digits, one word to any search.

    It is the same for every try.

    :param attempt: the task's try.
    :param subject: what is captured and where to, as JSON values.
    :param run: tells runs of the task apart that are not to share what they make.
    :returns: the key.
    """
    task = [attempt.namespace, attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index]
    identity = [*task, run, subject]
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return f"{_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def key_in(text: str) -> str | None:
    """Return the key of a capture that a text holds, the last where it holds several, None where none.

    :param text: a tag, or a display name.
    :returns: the key.
    """
    found = _KEY.findall(text)
    return found[-1].lower() if found else None


def is_key(tag: str) -> bool:
    """Tell whether a tag is the key of a capture, and nothing else.

    :param tag: the tag.
    :returns: whether it is.
    """
    return _KEY.fullmatch(tag) is not None


def without_keys(text: str) -> str:
    """Return a display name without the keys of captures that it holds.

    :param text: the name.
    :returns: the name as people gave it.
    """
    return " ".join(_KEY.sub(" ", text).split())


def with_key(text: str, key: str) -> str:
    """Return a display name with a key at its end, and without those of others that it may quote.

    :param text: the name.
    :param key: the key.
    :returns: the name with the key.
    """
    return f"{without_keys(text)} {key}".lstrip()
