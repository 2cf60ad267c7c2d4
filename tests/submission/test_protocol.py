"""Idempotency keys, the stored record, and the cost of a submission. The rest is in the model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api import procedure
from airflow_provider_codeocean.api.errors import (
    NOT_FOUND_GRACE_SECONDS,
    AlreadyExists,
    CodeOceanError,
    CodeOceanTransportError,
    Forbidden,
    UnexpectedResponse,
)
from airflow_provider_codeocean.operators._submit_once.runner import build_task_attempt
from airflow_provider_codeocean.submission.commands import (
    FORMAT,
    CheckSuperseded,
    Delete,
    FindByKey,
    FindResult,
    Get,
    LoadRecord,
    SaveRecord,
    Sleep,
    Submission,
    SubmissionRecord,
    Submit,
)
from airflow_provider_codeocean.submission.keys import (
    IdempotencyKeys,
    TaskAttempt,
    has_other_key,
    idempotency_key,
)
from airflow_provider_codeocean.submission.protocol import (
    MAX_REQUEST_SECONDS,
    MAX_SEARCH_LAG_SECONDS,
    SubmitOnce,
)

FIRST = TaskAttempt("dag", "run", "task", -1, try_number=1)
SUBJECT = {"source": {"computation": {"id": "c1"}}}

texts = st.text(max_size=8)
attempts = st.builds(TaskAttempt, texts, texts, texts, st.integers(-1, 3), st.just(1))
subjects = st.dictionaries(texts, st.recursive(texts | st.none() | st.integers(), st.lists), max_size=3)


@given(attempts, subjects)
def test_idempotency_key_is_one_lowercase_word(attempt, subject):
    key = idempotency_key(attempt, subject)
    assert key.isalnum()
    assert key == key.lower()
    assert len(key) == 39


@given(attempts, subjects, st.integers(1, 9))
def test_idempotency_key_of_later_attempt_is_same(attempt, subject, number):
    later = replace(attempt, try_number=number, max_tries=number)
    assert idempotency_key(later, subject) == idempotency_key(attempt, subject)


@given(attempts, attempts, subjects, subjects)
def test_idempotency_key_of_other_submission_differs(attempt, other, subject, other_subject):
    same = (attempt, subject) == (other, other_subject)
    assert (idempotency_key(attempt, subject) == idempotency_key(other, other_subject)) == same


@given(st.dictionaries(texts, texts, min_size=2))
def test_idempotency_key_ignores_dictionary_order(subject):
    backwards = dict(reversed(subject.items()))
    assert idempotency_key(FIRST, subject) == idempotency_key(FIRST, backwards)


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "other"},
        {"run_id": "other"},
        {"task_id": "renamed"},
        {"map_index": 0},
        {"namespace": "production"},
    ],
)
def test_idempotency_key_of_other_task_instance_differs(other):
    assert idempotency_key(FIRST, SUBJECT) != idempotency_key(replace(FIRST, **other), SUBJECT)


def keys_of(attempt, on_existing):
    return IdempotencyKeys.derive(attempt, SUBJECT, on_existing)


def test_idempotency_keys_of_cleared_task_follow_on_existing():
    first = replace(FIRST, max_tries=2)
    cleared = replace(FIRST, try_number=4, max_tries=5)
    adopt, create, fail = (keys_of(cleared, way) for way in ("adopt", "create", "fail"))
    assert adopt == keys_of(first, "adopt")
    assert create.current == fail.current != adopt.current
    assert (adopt.previous, create.previous) == ((), ())
    assert {adopt.current, keys_of(first, "create").current} <= set(fail.previous)
    assert fail.current not in fail.previous
    assert keys_of(first, "fail").previous == ()


@pytest.mark.fault("A12")
@pytest.mark.parametrize("on_existing", ["adopt", "create", "fail"])
@given(before=st.integers(0, 30), after=st.integers(0, 30), number=st.integers(2, 30))
def test_idempotency_keys_of_retry_after_edited_retries_are_same(on_existing, before, after, number):
    """Airflow keeps ``max_tries`` when the DAG file changes; only the task's ``retries`` differ."""
    first = build_task_attempt(a_context(1, max_tries=before), retries=before)
    retry = build_task_attempt(a_context(number, max_tries=before), retries=after)
    assert keys_of(retry, on_existing).current == keys_of(first, on_existing).current


@pytest.mark.fault("A12")
@given(before=st.integers(0, 15), after=st.integers(0, 15), attempts=st.integers(1, 20))
def test_idempotency_keys_of_cleared_task_include_earlier_key(before, after, attempts):
    first = build_task_attempt(a_context(1, max_tries=before), retries=before)
    cleared = build_task_attempt(a_context(attempts + 1, max_tries=attempts + after), retries=after)
    keys = keys_of(cleared, "fail")
    assert keys_of(first, "fail").current in {keys.current, *keys.previous}
    assert cleared.was_cleared


def a_context(try_number, max_tries):
    ti = SimpleNamespace(
        dag_id="dag", run_id="run", task_id="task", map_index=-1, try_number=try_number, max_tries=max_tries
    )
    return {"ti": ti}


@pytest.mark.fault("A13")
@given(st.integers(4, 39), texts)
def test_has_other_key_recognizes_complete_and_truncated_keys(length, text):
    key, other = idempotency_key(FIRST, SUBJECT), idempotency_key(replace(FIRST, task_id="other"), SUBJECT)
    part = key[: len("airflow") + length]
    assert not has_other_key(f"sorted {part}", key)
    assert has_other_key(f"sorted {part}", other)


@given(
    st.builds(
        SubmissionRecord,
        texts,
        st.floats(0, 2e9),
        st.none() | texts,
        st.floats(0, 2e9),
        st.booleans(),
    )
)
def test_submission_record_survives_json(record):
    assert SubmissionRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        7,
        [],
        {"format": FORMAT},
        {"format": FORMAT, "idempotency_key": "k"},
        {"format": FORMAT, "idempotency_key": 7, "submitted_at": 1.0},
        {"format": FORMAT, "idempotency_key": "k", "submitted_at": 1.0, "new": 2},
    ],
)
def test_submission_record_from_invalid_value_is_none(value):
    assert SubmissionRecord.from_json(value) is None


@pytest.mark.parametrize("value", [{}, {"format": FORMAT + 1, "idempotency_key": "k"}])
def test_submission_record_of_another_format_raises(value):
    with pytest.raises(ValueError, match="the submission record has format"):
        SubmissionRecord.from_json(value)


@dataclass
class Thing:
    id: str
    created: float | None = 100.0
    failed: bool = False
    key: str | None = None


class World:
    """Carries out commands on its jobs, and keeps a record of them.

    :ivar hidden_until: until when a GET of a job responds with 404, by id.
    """

    def __init__(self, *things, record=None):
        self.things = {thing.id: thing for thing in things}
        self.record = record
        self.hidden_until = {}
        self.commands = []
        self.now = 1000.0

    def __call__(self, command):
        self.commands.append(type(command))
        match command:
            case LoadRecord():
                return self.record
            case SaveRecord(record):
                self.record = record
            case FindByKey(keys):
                return FindResult([each.id for each in self.things.values() if each.key in {None, *keys}])
            case Get(external_id):
                is_hidden = self.now < self.hidden_until.get(external_id.lower(), 0.0)
                return None if is_hidden else self.things.get(external_id)
            case Submit():
                self.things["new"] = Thing("new", created=self.now)
                return self.things["new"]
            case Delete(external_id):
                del self.things[external_id]
            case Sleep(seconds):
                self.now += seconds
        return None

    def protocol(self, attempt=FIRST, keys=None, *, durable=True):
        keys = keys or IdempotencyKeys("k")
        return SubmitOnce(
            attempt,
            keys,
            self,
            has_durable_state=durable,
            now=lambda: self.now,
        )

    def is_usable(self, thing):
        return not thing.failed

    def is_own(self, thing, keys):
        return True

    def start(self, attempt=FIRST, keys=None, *, durable=True):
        keys = keys or keys_of(attempt, "adopt")
        return procedure.run(self.protocol(attempt, keys, durable=durable).start(), self)


RETRY = replace(FIRST, try_number=2)
KEY = keys_of(FIRST, "adopt").current


def adopted(thing, recheck_at=0.0, submitted_at=1000.0):
    return Submission(thing, adopted=True, recheck_at=recheck_at, submitted_at=submitted_at)


@pytest.mark.parametrize("durable", [True, False])
def test_start_of_first_attempt_sends_one_search_without_waiting(durable):
    world = World()
    submission = world.start(durable=durable)
    assert submission == Submission(Thing("new", 1000.0), adopted=False, submitted_at=1000.0)
    assert world.commands == [LoadRecord, SaveRecord, Submit, CheckSuperseded, SaveRecord, FindByKey]
    assert world.now == 1000.0


def test_start_with_failed_search_leaves_recheck_to_confirm():
    world = World(Thing("older"))
    down = True

    def do(command):
        if isinstance(command, FindByKey) and down:
            raise CodeOceanTransportError("down")
        return world(command)

    once = world.protocol()
    submission = procedure.run(once.start(), do)
    assert (submission.job.id, submission.adopted, submission.recheck_at) == ("new", False, 1000.0)
    assert (world.record.external_id, world.record.recheck_at) == ("new", 1000.0)
    down = False
    assert procedure.run(once.confirm(submission), do).id == "older"
    assert world.commands[-2:] == [Delete, SaveRecord]


def test_confirm_after_clock_set_back_does_not_wait_long():
    world = World(Thing("a"))
    submission = adopted(Thing("a"), recheck_at=world.now + 86_400.0)
    assert procedure.run(world.protocol().confirm(submission), world).id == "a"
    assert world.now <= 1000.0 + MAX_REQUEST_SECONDS


def test_confirm_of_deleted_job_raises_transient_error():
    world = World()
    submission = adopted(
        Thing("a"), recheck_at=world.now + 1, submitted_at=world.now - NOT_FOUND_GRACE_SECONDS
    )
    with pytest.raises(CodeOceanError, match="a is gone; a retry submits another one") as raised:
        procedure.run(world.protocol().confirm(submission), world)
    assert raised.value.is_transient


def test_start_with_forbidden_search_continues_with_own_job():
    world = World()

    def do(command):
        if isinstance(command, FindByKey):
            raise Forbidden(403, "no", method="POST", path="data_assets/search")
        return world(command)

    submission = procedure.run(world.protocol().start(), do)
    assert (submission.job.id, submission.recheck_at) == ("new", 0)
    assert world.record.external_id == "new"


def test_start_of_retry_with_known_id_sends_no_search():
    world = World(Thing("a"), record=SubmissionRecord(KEY, 990.0, "a"))
    assert world.start(RETRY) == adopted(Thing("a"), submitted_at=990.0)
    assert world.commands == [LoadRecord, Get]


@pytest.mark.fault("A8")
def test_start_of_retry_with_failing_read_of_known_id_raises():
    world = World(Thing("a"), record=SubmissionRecord(KEY, 1.0, "a"))

    def do(command):
        if isinstance(command, Get):
            raise UnexpectedResponse("404 with a web page")
        return world(command)

    with pytest.raises(UnexpectedResponse):
        procedure.run(world.protocol(RETRY, IdempotencyKeys(KEY)).start(), do)
    assert Submit not in world.commands


@pytest.mark.fault("A8")
def test_start_with_failing_read_after_naming_rechecks_job():
    """The next search lists the job as labelled, and does not know any more that it was labelled just now."""
    world = World()
    labelled = FindResult(["a"], confirmed_at=1500.0)
    results = iter([labelled, UnexpectedResponse("404 with a web page"), FindResult(["a"]), Thing("a")])

    def do(command):
        if isinstance(command, FindByKey | Get):
            result = next(results)
            if isinstance(result, Exception):
                raise result
            return result
        return world(command)

    submission = procedure.run(world.protocol(RETRY, durable=False).start(), do)
    assert submission.recheck_at == 1500.0


@pytest.mark.fault("B5")
@pytest.mark.parametrize("seconds", [3.0, NOT_FOUND_GRACE_SECONDS - 10.0])
def test_start_of_retry_with_known_id_waits_until_visible(seconds):
    world = World(Thing("a"), record=SubmissionRecord(KEY, 1000.0, "a"))
    world.hidden_until["a"] = 1000.0 + seconds
    assert world.start(RETRY) == adopted(Thing("a"))
    assert Submit not in world.commands
    assert world.now <= 1000.0 + seconds + 5.0


@pytest.mark.fault("B5")
@pytest.mark.parametrize("durable", [True, False])
def test_start_of_retry_with_listed_job_waits_until_visible(durable):
    world = World(Thing("a"))
    world.hidden_until["a"] = 1000.0 + NOT_FOUND_GRACE_SECONDS - 10.0
    assert world.start(RETRY, durable=durable).job.id == "a"
    assert Submit not in world.commands


@pytest.mark.fault("B5")
def test_start_with_invisible_duplicate_leaves_it_to_confirm():
    world = World(Thing("older", created=1.0))
    world.hidden_until["older"] = 1000.0 + 50.0
    once = world.protocol()
    submission = procedure.run(once.start(), world)
    assert (submission.job.id, submission.recheck_at > 0) == ("new", True)
    assert procedure.run(once.confirm(submission), world).id == "older"
    assert list(world.things) == ["older"]


@pytest.mark.fault("B5")
def test_start_with_invisible_own_job_keeps_its_id():
    world = World(Thing("older", created=1.0))
    world.hidden_until["new"] = 1000.0 + 50.0
    assert world.start().job.id == "older"
    assert list(world.things) == ["older"]


@pytest.mark.fault("B5")
def test_confirm_of_invisible_job_waits():
    world = World(Thing("a"))
    world.hidden_until["a"] = 1000.0 + 200.0
    submission = adopted(Thing("a"), recheck_at=world.now)
    assert procedure.run(world.protocol().confirm(submission), world).id == "a"


@pytest.mark.fault("A8")
def test_start_of_retry_with_false_404_of_listed_job_polls_again():
    world = World(Thing("a"), record=SubmissionRecord(KEY, 1000.0 - 2 * NOT_FOUND_GRACE_SECONDS, "a"))
    world.hidden_until["a"] = 1001.0
    assert world.start(RETRY).job.id == "a"
    assert Submit not in world.commands


@pytest.mark.fault("A8")
def test_find_replacement_of_job_with_false_404_returns_it():
    world = World(Thing("a"))
    world.hidden_until["a"] = 1001.0
    replacement = procedure.run(world.protocol().find_replacement(), world)
    assert replacement.job.id == "a"


def test_start_of_retry_with_deleted_job_submits_after_grace_period():
    world = World(record=SubmissionRecord(KEY, 1000.0, "a"))
    assert world.start(RETRY).job.id == "new"
    assert 1000.0 + NOT_FOUND_GRACE_SECONDS <= world.now <= 1000.0 + NOT_FOUND_GRACE_SECONDS + 10.0


@pytest.mark.fault("A13")
def test_start_with_own_job_listed_in_other_case_keeps_it():
    world = World()

    def do(command):
        if isinstance(command, FindByKey):
            world.commands.append(FindByKey)
            return FindResult(["NEW"])
        return world(command)

    assert procedure.run(world.protocol().start(), do).job.id == "new"
    assert Delete not in world.commands


def test_start_with_old_record_does_not_wait():
    world = World(record=SubmissionRecord(KEY, 1000.0 - MAX_REQUEST_SECONDS - MAX_SEARCH_LAG_SECONDS))
    submission = world.start(RETRY)
    assert (submission.job.id, submission.recheck_at) == ("new", 1000.0 + 2 * MAX_SEARCH_LAG_SECONDS)
    assert world.now == 1000.0


@pytest.mark.parametrize("durable", [True, False])
def test_start_of_retry_searches_for_search_lag(durable):
    world = World(record=SubmissionRecord(KEY, 1000.0) if durable else None)
    world.start(RETRY, durable=durable)
    assert world.now == 1000.0 + MAX_SEARCH_LAG_SECONDS


def test_start_of_retry_searches_at_growing_intervals():
    world = World(record=SubmissionRecord(KEY, 1000.0))
    searched_at = []

    def do(command):
        if isinstance(command, FindByKey):
            searched_at.append(world.now - 1000.0)
        return world(command)

    procedure.run(world.protocol(RETRY, keys_of(RETRY, "adopt")).start(), do)
    assert searched_at[:6] == [0.0, 1.0, 3.0, 7.0, 12.0, 17.0]


def test_start_of_retry_does_not_adopt_failed_job():
    world = World(Thing("a", failed=True), record=SubmissionRecord(KEY, 1.0, "a"))
    assert world.start(RETRY).job.id == "new"


def test_start_of_retry_adopts_oldest_job():
    world = World(Thing("a", 30.0), Thing("b", 20.0), Thing("c", 20.0), Thing("d", 10.0, failed=True))
    assert world.start(RETRY, durable=False).job.id == "b"


@pytest.mark.parametrize("known", [True, False])
def test_start_of_cleared_task_with_previous_job_raises(known):
    cleared = replace(FIRST, try_number=2, max_tries=1)
    keys = keys_of(cleared, "fail")
    key = keys.previous[0]
    world = World(Thing("a", key=key), record=SubmissionRecord(key, 1.0, "a") if known else None)
    with pytest.raises(AlreadyExists, match=r"submitted a before it was cleared.*'adopt'.*'create'"):
        world.start(cleared, keys)
    assert Submit not in world.commands


def test_start_of_cleared_task_with_known_job_missing_in_search_raises():
    cleared = replace(FIRST, try_number=2, max_tries=1)
    keys = keys_of(cleared, "fail")
    world = World(Thing("a", key="renamed"), record=SubmissionRecord(keys.previous[0], 1.0, "a"))
    with pytest.raises(AlreadyExists, match="submitted a before"):
        world.start(cleared, keys)


def test_start_with_every_response_lost_raises():
    world = World()

    def do(command):
        if isinstance(command, Submit):
            world.commands.append(Submit)
            raise CodeOceanTransportError("lost", may_have_been_applied=True)
        return world(command)

    with pytest.raises(CodeOceanTransportError, match="lost"):
        procedure.run(world.protocol().start(), do)
    assert world.commands.count(Submit) == 3
    assert world.record.may_have_duplicate
