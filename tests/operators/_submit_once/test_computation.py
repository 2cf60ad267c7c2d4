"""Starting a computation once, on the emulator."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api._http.deadline import PARTS
from airflow_provider_codeocean.api.client import DEFAULT_TIMEOUT
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.emulator import FaultRule, Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy, Work
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import computation as computation_job
from airflow_provider_codeocean.operators._submit_once.computation import NAMED_WITHIN, ComputationJob
from airflow_provider_codeocean.operators._submit_once.runner import STATE_KEY
from airflow_provider_codeocean.outcomes import Verdict, computation_verdict
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.submission.commands import FindByKey
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt, extract_key
from airflow_provider_codeocean.submission.protocol import SETTLE, SubmitOnce

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
    monkeypatch.setattr(protocol, "SETTLE", 0.5)
    monkeypatch.setattr(protocol, "VISIBILITY_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(computation_job, "NAMED_WITHIN", 0.2)


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
    keys = IdempotencyKeys(KEY)
    protocol = SubmitOnce(
        TaskAttempt("d", "r", "t", -1, try_number),
        keys,
        has_durable_state=state is not None,
        is_usable=lambda computation: computation_verdict(computation) is not Verdict.FAILED,
        is_own=lambda computation: ComputationJob.is_own(computation, keys),
        now=now,
    )
    return ComputationJob(
        CodeOceanHook(),
        protocol,
        asked,
        state=state,
        go_on=lambda: None,
        overtaken=lambda: False,
        **options,
    )


@pytest.fixture
def look_twice(asked):
    """What a retry finds at once, and after the time within which a living task names its own."""

    def look(between=lambda: None):
        clock = ManualClock(time.time())
        retry = starting(asked, 2, now=clock.now)
        with CodeOceanHook().get_conn() as client:
            first = retry.find(client, FindByKey((KEY,), clock.now())).ids
            between()
            clock.advance(computation_job.NAMED_WITHIN)
            return [first, retry.find(client, FindByKey((KEY,), clock.now())).ids]

    return look


def killed_before_it_names(monkeypatch, asked, state, **options):
    """Start a computation, and die before it has its name."""
    with monkeypatch.context() as patch:

        def die(*_):
            raise Killed

        patch.setattr(ComputationJob, "_give_name", die)
        with pytest.raises(Killed):
            starting(asked, 1, state, **options).start()


def test_what_is_started_carries_the_key_and_is_remembered(ours, asked):
    state = State()
    mine = starting(asked, state=state, name="nightly sorting")
    made = mine.start().job
    [run] = ours()
    assert run.name == f"nightly sorting {KEY}"
    assert mine.job.id == made.id == run.id
    assert state[STATE_KEY]["external_id"] == made.id


def test_without_a_name_of_its_own_it_keeps_the_one_it_got(ours, asked):
    made = starting(asked).start().job
    assert ours()[0].name == f"{made.name} {KEY}"


def test_a_retry_goes_on_with_it(ours, asked, state):
    made = starting(asked, 1, state).start().job
    again = starting(asked, 2, state).start()
    assert (again.job.id, again.adopted) == (made.id, True)
    assert len(ours()) == 1


def test_one_that_was_not_named_before_its_task_died_is_recognised(ours, asked, state, monkeypatch, caplog):
    killed_before_it_names(monkeypatch, asked, state)
    [run] = ours()
    begun = starting(asked, 2, state, name="sorted").start()
    assert begun.job.id == run.id
    assert [each.name for each in ours()] == [f"sorted {KEY}"]
    assert "it is adopted as the one that an earlier attempt submitted" in caplog.text


@pytest.mark.parametrize("kind", ["close_after", "half_body", "empty", "invalid_json"])
def test_a_lost_answer_is_looked_for(code_ocean, ours, asked, kind):
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind=kind))
    assert starting(asked).start().adopted
    assert [each.name.endswith(KEY) for each in ours()] == [True]


def test_a_request_that_did_nothing_is_sent_again(code_ocean, ours, asked):
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="close_before"))
    assert not starting(asked).start().adopted
    assert len(ours()) == 1


def test_one_that_cannot_be_named_goes_on(code_ocean, ours, asked, caplog):
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=403, times=None))
    state = State()
    made = starting(asked, 1, state).start().job
    assert f"Computation {made.id} could not be given the name" in caplog.text
    assert starting(asked, 2, state).start().job.id == made.id
    assert len(ours()) == 1


def test_one_that_failed_is_not_gone_on_with(code_ocean, ours, asked, state):
    made = starting(asked, 1, state).start().job
    run = code_ocean.store.computations.get(made.id)
    code_ocean.store.computations.put(replace(run, crashed=True, work=Work(started=run.created)))
    again = starting(asked, 2, state).start()
    assert again.job.id != made.id
    assert len(ours()) == 2


class TestWhatIsNotOurs:
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

    def test_with_all_the_same_it_is_ours(self, before, someone_starts, found):
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
    def test_with_other_parameters(self, before, someone_starts, found, changes):
        someone_starts(**changes)
        assert found() == []

    def test_started_before_the_task(self, code_ocean, before, someone_starts, found):
        run = code_ocean.store.computations.get(someone_starts())
        code_ocean.store.computations.put(replace(run, created=run.created - 100))
        assert found() == []

    def test_with_the_key_of_another_task(self, code_ocean, before, someone_starts, found):
        run = code_ocean.store.computations.get(someone_starts())
        code_ocean.store.computations.put(replace(run, name=f"theirs {OTHER_KEY}"))
        assert found() == []

    def test_of_another_capsule(self, code_ocean, before, someone_starts, found):
        others = [each.id for each in code_ocean.store.capsules.all() if each.kind == "capsule"]
        others.remove(code_ocean.env["CODEOCEAN_CAPSULE_ID"])
        someone_starts(capsule_id=others[0])
        assert found() == []


def test_a_task_that_lives_has_time_to_name_its_own(before, asked, look_twice):
    """Two tasks run the same with the same: the one that looks for its own leaves the other's."""
    with CodeOceanHook().get_conn() as client:
        twin = client.computations.run(asked)
        found = look_twice(between=lambda: client.computations.rename(twin.id, f"twin {OTHER_KEY}"))
    assert found == [[], []]


def test_a_living_task_has_named_its_own_in_time():
    naming = computation_job.NAMING_BUDGET + 2 * PARTS * computation_job.NAMING_TIMEOUT
    assert PARTS * DEFAULT_TIMEOUT + naming < NAMED_WITHIN
    assert NAMED_WITHIN <= protocol.SENDING  # for longer than that nobody pauses before the last look


def test_an_answer_to_naming_is_not_waited_for_long(code_ocean, ours, asked, monkeypatch, caplog):
    monkeypatch.setattr(computation_job, "NAMING_TIMEOUT", 0.05)
    monkeypatch.setattr(computation_job, "NAMING_BUDGET", 0.0)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="hold_before", times=None))
    made = starting(asked).start().job
    code_ocean.faults.clear()
    assert f"Computation {made.id} could not be given the name" in caplog.text


def test_a_name_is_not_tried_for_long(code_ocean, ours, asked, monkeypatch):
    monkeypatch.setattr(computation_job, "NAMING_BUDGET", 0.0)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=503, times=2))
    starting(asked).start()
    assert [extract_key(each.name) for each in ours()] == [None]


def test_what_could_not_be_named_at_once_is_named_when_the_task_looks_for_rivals(
    code_ocean, ours, asked, monkeypatch
):
    monkeypatch.setattr(computation_job, "NAMING_BUDGET", 0.0)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=503))
    made = starting(asked).start().job
    assert [(each.id, extract_key(each.name)) for each in ours()] == [(made.id, KEY)]


class TestBesideATaskThatRunsTheSame:
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
        monkeypatch.setattr(computation_job, "NAMED_WITHIN", NAMED_WITHIN)
        monkeypatch.setattr(protocol, "SETTLE", SETTLE)
        monkeypatch.setattr(protocol, "_FIRST_PAUSE", 1.0)
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

    def test_one_that_it_names_late_is_left_to_it(self, ours, twin, mine, clock):
        theirs = twin(named_after=NAMED_WITHIN - 1)
        begun = mine().start()
        assert (begun.job.id != theirs, begun.adopted) == (True, False)
        assert {extract_key(each.name) for each in ours()} == {KEY, OTHER_KEY}

    def test_one_that_stays_nameless_is_looked_at_until_it_is_old_enough(self, ours, twin, mine, clock):
        left_behind = twin()
        assert mine().start().job.id == left_behind
        assert len(ours()) == 1
        assert clock.now() - clock.began == pytest.approx(NAMED_WITHIN, abs=1)

    def test_where_none_is_nameless_it_looks_no_longer(self, mine, clock):
        mine().start()
        assert clock.now() - clock.began == pytest.approx(SETTLE, abs=1)

    def test_what_is_started_while_it_looks_on_is_not_waited_for(self, twin, mine, clock):
        twin(named_after=50.0)
        clock.due += [(clock.now() + 45.0, lambda: twin(named_after=NAMED_WITHIN - 1))]
        clock.due.sort(key=lambda each: each[0])
        mine().start()
        assert clock.now() - clock.began == pytest.approx(NAMED_WITHIN, abs=1)

    def test_one_that_it_names_after_all_is_given_back(self, ours, twin, mine, state, clock, caplog):
        theirs = twin(named_after=NAMED_WITHIN + 30)
        task = mine()
        begun = task.start()
        assert begun.job.id == theirs
        assert task.confirm(begun) is None
        assert f"Computation {theirs} is another task's" in caplog.text
        assert task.job is None
        again = task.start()
        assert (again.job.id != theirs, again.adopted) == (True, False)
        assert {each.id: extract_key(each.name) for each in ours()} == {theirs: OTHER_KEY, again.job.id: KEY}

    def test_a_retry_does_not_go_on_with_what_it_has_named(self, asked, twin, mine, state, clock):
        theirs = twin(named_after=NAMED_WITHIN + 30)
        assert mine().start().job.id == theirs
        clock.due.pop()[1]()
        assert starting(asked, 2, state, now=clock.now).start().job.id != theirs

    def test_its_own_is_found_after_it_has_given_back_the_other(self, ours, twin, mine, clock):
        twin(named_after=NAMED_WITHIN + 30)
        clock.advance(1.0)
        task = mine("close_after")
        assert task.confirm(task.start()) is None
        assert task.start().adopted
        assert sorted(extract_key(each.name) for each in ours()) == [KEY, OTHER_KEY]


def test_of_two_the_oldest_stays(code_ocean, ours, asked):
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


def test_beside_its_own_it_takes_nobody_elses(code_ocean, ours, asked, state):
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


def test_what_stays_is_what_is_deleted_where_the_task_is_killed(code_ocean, ours, asked):
    retry = starting(asked, 2)
    begun = retry.start()
    with CodeOceanHook().get_conn() as client:
        older = client.computations.run(asked)
        client.computations.rename(older.id, f"older {KEY}")
    run = code_ocean.store.computations.get(older.id)
    code_ocean.store.computations.put(replace(run, created=1.0))
    assert retry.confirm(begun).id == older.id
    assert retry.job.id == older.id


def test_what_was_in_doubt_once_and_is_over_is_in_doubt_no_more(code_ocean, ours, asked):
    """Its computation is deleted and the task cleared: what somebody has started since is not taken."""
    state = State()
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="close_after"))
    task = starting(asked, 1, state)
    done = task.confirm(task.start())
    with CodeOceanHook().get_conn() as client:
        client.computations.delete(done.id)
        theirs = client.computations.run(asked).id
    time.sleep(2 * computation_job.NAMED_WITHIN)
    assert starting(asked, 2, state).start().job.id != theirs
    assert extract_key(code_ocean.store.computations.get(theirs).name) is None


def test_a_pipeline_is_run_once_too(code_ocean, ours, state, monkeypatch):
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


def test_a_name_that_quotes_another_key_does_not_carry_it(ours, asked):
    made = starting(asked, name=f"again {OTHER_KEY} x").start().job
    assert ours()[0].name == f"again x {KEY}"
    assert starting(asked, 2).start().job.id == made.id


def test_a_cloud_workstation_is_nobodys_run(before, code_ocean):
    capsule_id = code_ocean.store.computations.get(code_ocean.env["CODEOCEAN_WORKSTATION_ID"]).capsule
    retry = starting(RunParams(capsule_id=capsule_id), 2)
    made = retry.start().job
    assert made.id != code_ocean.env["CODEOCEAN_WORKSTATION_ID"]


def test_without_an_intent_nothing_was_started_where_intents_are_kept(ours, asked):
    with CodeOceanHook().get_conn() as client:
        stranger = client.computations.run(asked)
    assert starting(asked, 2, State()).start().job.id != stranger.id


def test_one_that_is_recognised_but_cannot_be_named_is_gone_on_with(
    code_ocean, ours, asked, state, monkeypatch, caplog
):
    killed_before_it_names(monkeypatch, asked, state)
    code_ocean.faults.add(FaultRule(method="PATCH", kind="status", status=403, times=None))
    assert starting(asked, 2, state).start().job.id == ours()[0].id
    assert "could not be given the name" in caplog.text


def test_who_may_not_look_for_others_goes_on_with_its_own(code_ocean, ours, asked, caplog):
    code_ocean.faults.add(FaultRule(path="capsules/*/computations", kind="status", status=403, times=None))
    assert starting(asked).start().job.id == ours()[0].id
    assert "which another attempt may have used" in caplog.text
