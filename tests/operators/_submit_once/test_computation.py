"""Starting a computation once, on the emulator."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api._http.body import TOTAL_TIMEOUT_FACTOR
from airflow_provider_codeocean.api.client import DEFAULT_TIMEOUT_SECONDS
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.emulator import FaultRule, Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy, Work
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import computation as computation_job
from airflow_provider_codeocean.operators._submit_once.computation import MAX_NAMING_SECONDS, ComputationJob
from airflow_provider_codeocean.operators._submit_once.runner import STATE_KEY
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.submission.commands import FindByKey
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt, extract_key
from airflow_provider_codeocean.submission.protocol import MAX_SEARCH_LAG_SECONDS

KEY = "airflow" + "0123456789abcdef" * 2
OTHER_KEY = "airflow" + "fedcba9876543210" * 2


class Killed(BaseException):
    """The process dies."""


class State(dict):
    """A durable state."""

    def set(self, key, value):
        self[key] = value


@pytest.fixture(autouse=True)
def no_time(monkeypatch):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "NOT_FOUND_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "_INITIAL_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(computation_job, "MAX_NAMING_SECONDS", 0.2)


@pytest.fixture
def before(code_ocean):
    """The computations that are there before the test."""
    code_ocean.emulator.transitions = Transitions(computations=Policy(seconds=3600))
    return {each.id for each in code_ocean.store.computations.all()}


@pytest.fixture
def ours(code_ocean, before):
    return lambda: [each for each in code_ocean.store.computations.all() if each.id not in before]


@pytest.fixture
def asked(code_ocean):
    return RunParams.model_validate(
        {"capsule_id": code_ocean.env["CODEOCEAN_CAPSULE_ID"], "parameters": ["5", "fast"]}
    )


@pytest.fixture(params=["durable", "not durable"])
def state(request):
    return State() if request.param == "durable" else None


def starting(asked, try_number=1, state=None, now=None, **options):
    return ComputationJob(
        CodeOceanHook(),
        TaskAttempt("d", "r", "t", -1, try_number),
        IdempotencyKeys(KEY),
        asked,
        context={"task_state_store": state},
        now=now,
        **options,
    )


@pytest.fixture
def look_twice(asked):
    """What a retry finds at once, and after the time within which a living task names its own."""

    def look(between=lambda: None):
        clock = ManualClock(time.time())
        retry = starting(asked, 2, now=clock.now)
        with CodeOceanHook().get_conn() as client:
            first = retry.find(client, FindByKey((KEY,), clock.now())).external_ids
            between()
            clock.advance(computation_job.MAX_NAMING_SECONDS)
            return [first, retry.find(client, FindByKey((KEY,), clock.now())).external_ids]

    return look


def killed_before_it_names(monkeypatch, asked, state, **options):
    """Start a computation, and die before it has its name."""
    with monkeypatch.context() as patch:

        def die(*_):
            raise Killed

        patch.setattr(ComputationJob, "_append_key_to_name", die)
        with pytest.raises(Killed):
            starting(asked, 1, state, **options).start()


def test_start_with_name_appends_key_and_saves_external_id(ours, asked):
    state = State()
    mine = starting(asked, state=state, name="nightly sorting")
    made = mine.start().job
    [run] = ours()
    assert run.name == f"nightly sorting {KEY}"
    assert mine.job.id == made.id == run.id
    assert state[STATE_KEY]["external_id"] == made.id


def test_start_without_name_appends_key_to_server_name(ours, asked):
    made = starting(asked).start().job
    assert ours()[0].name == f"{made.name} {KEY}"


def test_start_on_retry_adopts_computation(ours, asked, state):
    made = starting(asked, 1, state).start().job
    again = starting(asked, 2, state).start()
    assert (again.job.id, again.adopted) == (made.id, True)
    assert len(ours()) == 1


def test_start_on_retry_with_unnamed_computation_adopts_and_names_it(ours, asked, state, monkeypatch, caplog):
    killed_before_it_names(monkeypatch, asked, state)
    [run] = ours()
    begun = starting(asked, 2, state, name="sorted").start()
    assert begun.job.id == run.id
    assert [each.name for each in ours()] == [f"sorted {KEY}"]
    assert "Adopting computation" in caplog.text


@pytest.mark.parametrize("kind", ["close_after", "half_body", "empty", "invalid_json"])
def test_start_with_lost_response_adopts_computation(code_ocean, ours, asked, kind):
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind=kind))
    assert starting(asked).start().adopted
    assert [each.name.endswith(KEY) for each in ours()] == [True]


def test_start_with_request_not_applied_resends_it(code_ocean, ours, asked):
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="close_before"))
    assert not starting(asked).start().adopted
    assert len(ours()) == 1


def test_start_with_forbidden_rename_continues(code_ocean, ours, asked, caplog):
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=403, times=None))
    state = State()
    made = starting(asked, 1, state).start().job
    assert f"Computation {made.id} continues, but could not be given the name" in caplog.text
    assert starting(asked, 2, state).start().job.id == made.id
    assert len(ours()) == 1


def test_start_on_retry_with_failed_computation_submits_another(code_ocean, ours, asked, state):
    made = starting(asked, 1, state).start().job
    run = code_ocean.store.computations.get(made.id)
    code_ocean.store.computations.put(replace(run, crashed=True, work=Work(started_at=run.created)))
    again = starting(asked, 2, state).start()
    assert again.job.id != made.id
    assert len(ours()) == 2


class TestFindUnnamedComputation:
    """One without a key is gone on with only where all that the API tells says that it is ours."""

    @pytest.fixture
    def someone_starts(self, code_ocean, asked):
        def start(**changes):
            with CodeOceanHook().get_conn() as client:
                return client.computations.run(asked.model_copy(update=changes)).id

        return start

    @pytest.fixture
    def found(self, look_twice):
        return lambda: look_twice()[-1]

    def test_find_with_same_parameters_returns_computation(self, before, someone_starts, found):
        run = someone_starts()
        assert found() == [run]

    @pytest.mark.parametrize(
        "changes",
        [
            {"parameters": ["5", "slow"]},
            {"parameters": ["5"]},
            {"parameters": ["5", "fast", "x"]},
            {"parameters": None},
        ],
        ids=str,
    )
    def test_find_with_other_parameters_returns_nothing(self, before, someone_starts, found, changes):
        someone_starts(**changes)
        assert found() == []

    def test_find_with_earlier_computation_returns_nothing(self, code_ocean, before, someone_starts, found):
        run = code_ocean.store.computations.get(someone_starts())
        code_ocean.store.computations.put(replace(run, created=run.created - 100))
        assert found() == []

    def test_find_with_key_of_another_task_returns_nothing(self, code_ocean, before, someone_starts, found):
        run = code_ocean.store.computations.get(someone_starts())
        code_ocean.store.computations.put(replace(run, name=f"theirs {OTHER_KEY}"))
        assert found() == []

    def test_find_with_other_capsule_returns_nothing(self, code_ocean, before, someone_starts, found):
        others = [each.id for each in code_ocean.store.capsules.all() if each.kind == "capsule"]
        others.remove(code_ocean.env["CODEOCEAN_CAPSULE_ID"])
        someone_starts(capsule_id=others[0])
        assert found() == []


def test_find_while_running_task_names_its_computation_returns_nothing(before, asked, look_twice):
    """Two tasks run the same with the same: the one that looks for its own leaves the other's."""
    with CodeOceanHook().get_conn() as client:
        twin = client.computations.run(asked)
        found = look_twice(between=lambda: client.computations.rename(twin.id, f"twin {OTHER_KEY}"))
    assert found == [[], []]


def test_naming_timeouts_fit_into_naming_limit():
    naming = (
        computation_job.NAMING_RETRY_SECONDS
        + 2 * TOTAL_TIMEOUT_FACTOR * computation_job.NAMING_TIMEOUT_SECONDS
    )
    assert TOTAL_TIMEOUT_FACTOR * DEFAULT_TIMEOUT_SECONDS + naming < MAX_NAMING_SECONDS
    assert (
        MAX_NAMING_SECONDS <= protocol.MAX_REQUEST_SECONDS
    )  # for longer than that nobody pauses before the last look


def test_start_with_unanswered_rename_stops_waiting(code_ocean, ours, asked, monkeypatch, caplog):
    monkeypatch.setattr(computation_job, "NAMING_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(computation_job, "NAMING_RETRY_SECONDS", 0.0)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="hold_before", times=None))
    made = starting(asked).start().job
    code_ocean.faults.clear()
    assert f"Computation {made.id} continues, but could not be given the name" in caplog.text


def test_start_with_repeated_rename_errors_stops_retrying(code_ocean, ours, asked, monkeypatch):
    monkeypatch.setattr(computation_job, "NAMING_RETRY_SECONDS", 0.0)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=503, times=2))
    starting(asked).start()
    assert [extract_key(each.name) for each in ours()] == [None]


def test_start_with_one_rename_error_names_computation_later(code_ocean, ours, asked, monkeypatch):
    monkeypatch.setattr(computation_job, "NAMING_RETRY_SECONDS", 0.0)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=503))
    made = starting(asked).start().job
    assert [(each.id, extract_key(each.name)) for each in ours()] == [(made.id, KEY)]


class TestIdenticalComputationOfAnotherTask:
    """Another task has started the same with the same parameters, and lives."""

    @pytest.fixture(autouse=True)
    def clock(self, code_ocean, before, monkeypatch):
        """What a task waits for passes at once, and what is to happen meanwhile happens."""
        clock = ManualClock(time.time())
        clock.began, clock.due = clock.now(), []

        def sleep(seconds):
            until = clock.now() + seconds
            while clock.due and clock.due[0][0] <= until:
                at, do = clock.due.pop(0)
                clock.advance(max(0.0, at - clock.now()))
                do()
            clock.advance(max(0.0, until - clock.now()))

        monkeypatch.setattr(
            "airflow_provider_codeocean.operators._submit_once.runner.time", SimpleNamespace(sleep=sleep)
        )
        monkeypatch.setattr(computation_job, "MAX_NAMING_SECONDS", MAX_NAMING_SECONDS)
        monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", MAX_SEARCH_LAG_SECONDS)
        monkeypatch.setattr(protocol, "_INITIAL_DELAY_SECONDS", 1.0)
        code_ocean.emulator.clock = clock
        return clock

    @pytest.fixture
    def twin(self, asked, clock):
        """What the other task has started, and names some seconds later."""

        def start(named_after=None):
            with CodeOceanHook().get_conn() as client:
                made = client.computations.run(asked).id

            def name():
                with CodeOceanHook().get_conn() as client:
                    client.computations.rename(made, f"twin {OTHER_KEY}")

            if named_after is not None:
                clock.due.append((clock.now() + named_after, name))
            return made

        return start

    @pytest.fixture
    def mine(self, code_ocean, asked, state, clock):
        """A task whose first request to start has no answer, and comes to nothing if not said otherwise."""

        def start(kind="html"):
            code_ocean.faults.add(FaultRule(method="POST", path="computations", kind=kind))
            return starting(asked, 1, state, now=clock.now)

        return start

    def test_start_when_other_task_names_it_late_does_not_adopt(self, ours, twin, mine, clock):
        theirs = twin(named_after=MAX_NAMING_SECONDS - 1)
        begun = mine().start()
        assert (begun.job.id != theirs, begun.adopted) == (True, False)
        assert {extract_key(each.name) for each in ours()} == {KEY, OTHER_KEY}

    def test_start_when_it_stays_unnamed_adopts_after_naming_limit(self, ours, twin, mine, clock):
        left_behind = twin()
        assert mine().start().job.id == left_behind
        assert len(ours()) == 1
        assert clock.now() - clock.began == pytest.approx(MAX_NAMING_SECONDS, abs=1)

    def test_start_without_unnamed_computation_waits_for_search_lag_only(self, mine, clock):
        mine().start()
        assert clock.now() - clock.began == pytest.approx(MAX_SEARCH_LAG_SECONDS, abs=1)

    def test_start_with_computation_submitted_during_wait_does_not_extend_wait(self, twin, mine, clock):
        twin(named_after=50.0)
        clock.due += [(clock.now() + 45.0, lambda: twin(named_after=MAX_NAMING_SECONDS - 1))]
        clock.due.sort(key=lambda each: each[0])
        mine().start()
        assert clock.now() - clock.began == pytest.approx(MAX_NAMING_SECONDS, abs=1)

    def test_confirm_when_other_task_names_it_after_adoption_releases_it(
        self, ours, twin, mine, state, clock, caplog
    ):
        theirs = twin(named_after=MAX_NAMING_SECONDS + 30)
        task = mine()
        begun = task.start()
        assert begun.job.id == theirs
        assert task.confirm(begun) is None
        assert f"Computation {theirs} belongs to another task" in caplog.text
        assert task.job is None
        again = task.start()
        assert (again.job.id != theirs, again.adopted) == (True, False)
        assert {each.id: extract_key(each.name) for each in ours()} == {theirs: OTHER_KEY, again.job.id: KEY}

    def test_start_on_retry_does_not_adopt_computation_named_by_other_task(
        self, asked, twin, mine, state, clock
    ):
        theirs = twin(named_after=MAX_NAMING_SECONDS + 30)
        assert mine().start().job.id == theirs
        clock.due.pop()[1]()
        assert starting(asked, 2, state, now=clock.now).start().job.id != theirs

    def test_start_after_release_adopts_own_computation(self, ours, twin, mine, clock):
        twin(named_after=MAX_NAMING_SECONDS + 30)
        clock.advance(1.0)
        task = mine("close_after")
        assert task.confirm(task.start()) is None
        assert task.start().adopted
        assert sorted(extract_key(each.name) for each in ours()) == [KEY, OTHER_KEY]


def test_confirm_with_duplicate_keeps_oldest(code_ocean, ours, asked):
    first = starting(asked, 1).start().job
    with CodeOceanHook().get_conn() as client:  # what a process started that was taken for dead
        second = client.computations.run(asked)
        client.computations.rename(second.id, f"second {KEY}")
    run = code_ocean.store.computations.get(first.id)
    code_ocean.store.computations.put(replace(run, created=1.0))
    retry = starting(asked, 3)
    begun = retry.start()
    assert begun.job.id == first.id
    assert retry.confirm(begun).id == first.id
    assert [each.id for each in ours()] == [first.id]


def test_confirm_with_identical_computation_of_others_leaves_it(code_ocean, ours, asked, state):
    """What was started since with the same, by hand for one, is neither named nor deleted."""
    made = starting(asked, 1, state).start().job
    with CodeOceanHook().get_conn() as client:
        theirs = client.computations.run(asked).id
    for each, ago in ((made.id, 1000.0), (theirs, 900.0)):
        run = code_ocean.store.computations.get(each)
        code_ocean.store.computations.put(replace(run, created=time.time() - ago))
    if state is not None:  # as where it was killed before it could remember its id
        state[STATE_KEY] |= {"external_id": None, "submitted_at": time.time() - 1000.0}
    retry = starting(asked, 2, state)
    begun = retry.start()
    assert begun.job.id == made.id
    assert retry.confirm(begun).id == made.id
    assert {each.id: extract_key(each.name) for each in ours()} == {made.id: KEY, theirs: None}


def test_confirm_with_older_duplicate_sets_job_to_it(code_ocean, ours, asked):
    retry = starting(asked, 2)
    begun = retry.start()
    with CodeOceanHook().get_conn() as client:
        older = client.computations.run(asked)
        client.computations.rename(older.id, f"older {KEY}")
    run = code_ocean.store.computations.get(older.id)
    code_ocean.store.computations.put(replace(run, created=1.0))
    assert retry.confirm(begun).id == older.id
    assert retry.job.id == older.id


def test_start_on_cleared_task_after_deletion_ignores_identical_job(code_ocean, ours, asked):
    """Its computation is deleted and the task cleared: what somebody has started since is not taken."""
    state = State()
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="close_after"))
    task = starting(asked, 1, state)
    done = task.confirm(task.start())
    with CodeOceanHook().get_conn() as client:
        client.computations.delete(done.id)
        theirs = client.computations.run(asked).id
    time.sleep(2 * computation_job.MAX_NAMING_SECONDS)
    assert starting(asked, 2, state).start().job.id != theirs
    assert extract_key(code_ocean.store.computations.get(theirs).name) is None


def test_start_of_pipeline_on_retry_adopts_computation(code_ocean, ours, state, monkeypatch):
    pipeline = next(each for each in code_ocean.store.capsules.all() if each.kind == "pipeline")
    name = pipeline.processes[0]["name"]
    asked = RunParams.model_validate(
        {
            "pipeline_id": pipeline.id,
            "processes": [{"name": name, "named_parameters": [{"param_name": "p", "value": "1"}]}],
        }
    )
    killed_before_it_names(monkeypatch, asked, state)
    [run] = ours()
    assert starting(asked, 2, state).start().job.id == run.id
    assert len(ours()) == 1


def test_start_with_foreign_key_in_name_replaces_it(ours, asked):
    made = starting(asked, name=f"again {OTHER_KEY} x").start().job
    assert ours()[0].name == f"again x {KEY}"
    assert starting(asked, 2).start().job.id == made.id


def test_start_with_cloud_workstation_does_not_adopt_it(before, code_ocean):
    capsule_id = code_ocean.store.computations.get(code_ocean.env["CODEOCEAN_WORKSTATION_ID"]).capsule_id
    retry = starting(RunParams(capsule_id=capsule_id), 2)
    made = retry.start().job
    assert made.id != code_ocean.env["CODEOCEAN_WORKSTATION_ID"]


def test_start_without_submission_record_does_not_adopt(ours, asked):
    with CodeOceanHook().get_conn() as client:
        stranger = client.computations.run(asked)
    assert starting(asked, 2, State()).start().job.id != stranger.id


def test_start_on_retry_with_forbidden_rename_adopts_computation(
    code_ocean, ours, asked, state, monkeypatch, caplog
):
    killed_before_it_names(monkeypatch, asked, state)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=403, times=None))
    assert starting(asked, 2, state).start().job.id == ours()[0].id
    assert "continues, but could not be given the name" in caplog.text


def test_start_with_forbidden_search_continues_with_own_computation(code_ocean, ours, asked, caplog):
    code_ocean.faults.add(FaultRule(path="capsules/*/computations", kind="status", status=403, times=None))
    assert starting(asked).start().job.id == ours()[0].id
    assert "Could not search for a job with key" in caplog.text
