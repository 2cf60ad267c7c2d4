"""Taking computations that have finished: each for one run, and the same again for a run that takes again."""

from __future__ import annotations

import json
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_codeocean.api.text import TEMPLATE_ERROR
from airflow_provider_codeocean.compat import features
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.emulator import Policy
from airflow_provider_codeocean.emulator.seeding.bulk import ComputationSeed, seed_computations
from airflow_provider_codeocean.events import claims as keeping
from airflow_provider_codeocean.events.seen_set import BASELINE, TAKEN, Seen
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.events import CodeOceanTakeFinishedComputationsOperator
from airflow_provider_codeocean.submission.keys import append_key

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
if AIRFLOW < (3, 0):
    pytest.skip("Airflow 2 has no asset watchers", allow_module_level=True)
else:
    from airflow.sdk import DAG, Asset, AssetAlias
    from airflow.sdk.exceptions import AirflowRuntimeError

ASSET = Asset("what is watched")


class Airflow:
    """Airflow at the wire between a task and its supervisor: what it keeps for assets, and its Variables.

    :ivar kept: what is kept, by key.
    """

    def __init__(self, monkeypatch):
        from airflow.sdk.execution_time import task_runner

        self.kept = {}
        self.descriptions = {}
        self.is_killed_at_writing = False
        self.is_in_trouble = False
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", self, raising=False)

    def send(self, message):
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        kind = type(message).__name__
        if kind == "MaskSecret":
            return None
        if kind.startswith(("Set", "Put")):
            if self.is_killed_at_writing:
                raise KeyboardInterrupt
            self.kept[message.key] = message.value
            self.descriptions[message.key] = getattr(message, "description", None)
            return None
        missing = {
            "GetVariable": "VARIABLE_NOT_FOUND",
            "GetAssetStateStoreByName": "ASSET_STORE_NOT_FOUND",
        }[kind]
        if self.is_in_trouble or message.key not in self.kept:
            error = "API_SERVER_ERROR" if self.is_in_trouble else missing
            return comms.ErrorResponse(error=ErrorType[error])
        if kind == "GetVariable":
            return comms.VariableResult(key=message.key, value=self.kept[message.key])
        assert message.name == ASSET.name
        return comms.AssetStateStoreResult(value=self.kept[message.key])


@pytest.fixture(params=["state of assets", "Variables"])
def airflow(request, monkeypatch):
    """What is written down, in each of the places where Airflow has one."""
    has_state = request.param == "state of assets"
    if has_state and AIRFLOW < (3, 3):
        pytest.skip("assets have a state from Airflow 3.3 on")
    monkeypatch.setattr(features, "RUNNING", AIRFLOW if has_state else min(AIRFLOW, (3, 2)))
    return Airflow(monkeypatch)


@pytest.fixture
def take(code_ocean, airflow):
    """Takes for a run, and returns the ids, and how many events of the asset were made."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    env = code_ocean.env

    def take(run_id, events=None, **arguments):
        usual = {"capsule_id": env["CODEOCEAN_CAPSULE_ID"], "since": code_ocean.emulator.now() - 1000}
        operator = CodeOceanTakeFinishedComputationsOperator(
            task_id="take", asset=ASSET, **{"on_empty": "return", **usual, **arguments}
        )
        context = {
            "run_id": run_id,
            "outlet_events": OutletEventAccessors(),
            "triggering_asset_events": events or {},
        }
        if AIRFLOW >= (3, 3):
            from airflow.sdk.execution_time.context import AssetStateStoreAccessors

            context["asset_state_store"] = AssetStateStoreAccessors(operator.inlets, operator.outlets)
        returned = operator.execute(context)
        events = context["outlet_events"][AssetAlias("what is watched again")].asset_alias_events
        return returned, len(events)

    return take


@pytest.fixture
def finish(code_ocean):
    def finish(age=500.0, **fields):
        [made] = seed_computations(code_ocean.emulator, ComputationSeed(age=age, **fields))
        return made.id

    return finish


def ids(returned):
    return [each["id"] for each in returned]


def test_the_oldest_are_taken_first_and_each_by_one_run(take, finish):
    later, first = finish(400), finish(500)
    assert ids(take("r1")[0]) == [first, later]
    last = finish(300)
    assert ids(take("r2")[0]) == [last]
    assert take("r3") == ([], 0)


def test_a_run_that_takes_again_gets_the_same_in_the_same_order(take, finish):
    later = finish(400)
    assert ids(take("r1")[0]) == [later]
    finish(500)  # which would come first
    assert ids(take("r1")[0]) == [later]


def test_where_more_are_left_the_next_run_is_started_and_only_there(take, finish):
    first, second, third = finish(500), finish(400), finish(300)
    returned, events = take("r1", limit=2)
    assert (ids(returned), events) == ([first, second], 1)
    returned, events = take("r2", limit=2)
    assert (ids(returned), events) == ([third], 0)


def test_killed_before_it_has_written_it_down_it_has_taken_nothing(take, finish, airflow):
    first = finish()
    airflow.is_killed_at_writing = True
    with pytest.raises(KeyboardInterrupt):
        take("r1")
    airflow.is_killed_at_writing = False
    assert ids(take("r2")[0]) == [first]


def test_what_cannot_be_read_is_not_taken_for_nothing_taken(take, finish, airflow):
    first = finish()
    take("r1")
    airflow.is_in_trouble = True
    with pytest.raises(AirflowRuntimeError, match="API_SERVER_ERROR"):
        take("r2")
    airflow.is_in_trouble = False
    assert ids(take("r1")[0]) == [first]
    assert take("r2")[0] == []


def test_one_that_was_deleted_keeps_its_place(take, finish, code_ocean):
    first, second = finish(500), finish(400)
    take("r1")
    code_ocean.store.computations.delete(first)
    returned, _ = take("r1", each={"id": "{{ computation.id }}", "name": "{{ computation.name }}"})
    assert returned == [{"id": first, "name": first}, {"id": second, "name": "seeded run 0"}]


def test_what_is_made_of_each_knows_it_and_the_run(take, finish):
    over = finish(name="{{ run_id }}")
    each = {
        "name": "{{ run_id }}: {{ computation.name }}",
        "parts": ["{{ computation.id }}", 7],
        "more": None,
    }
    assert take("r1", each=each)[0] == [{"name": "r1: {{ run_id }} 0", "parts": [over, 7], "more": None}]


@pytest.mark.fault("N9")
@pytest.mark.parametrize("include_own", [True, False])
def test_take_skips_computations_of_this_provider_if_requested(take, finish, include_own):
    theirs = finish(500, name="by hand")
    own = finish(400, name=append_key("sort", f"airflow{7:032x}"))
    taken = ids(take("r1", include_own=include_own)[0])
    assert taken == ([theirs, own] if include_own else [theirs])


def test_the_key_of_a_run_is_no_part_of_its_name(take, finish):
    finish(name=append_key("sort", f"airflow{7:032x}"))
    assert take("r1", each={"name": "{{ computation.name }}"})[0] == [{"name": "sort 0"}]


def test_what_is_made_of_each_is_text_in_every_dag(take, finish):
    over = finish(name="2024")
    each = {"id": "{{ computation.id }}", "size": "{{ computation.name[:4] }}"}
    dag = DAG("native", schedule=None, render_template_as_native_obj=True)
    assert take("r1", each=each, dag=dag)[0] == [{"id": over, "size": "2024"}]


def test_take_template_fails_for_one_computation_returns_the_cause_in_its_place(take, finish, caplog):
    bad, good = finish(500, name="x"), finish(400, name="7")
    half = "{{ 7 / (computation.name[0] | int) }}"
    each = {"id": "{{ computation.id }}", "parts": [half, "a"]}
    cause = (
        f"{half!r} cannot be rendered for computation {bad}: division by zero. Correct the template, then "
        "clear task 'take' of this run with its downstream tasks"
    )
    assert take("r1", each=each)[0] == [
        {"id": bad, "parts": [{TEMPLATE_ERROR: cause}, "a"]},
        {"id": good, "parts": ["1.0", "a"]},
    ]
    assert f"parts.0: {cause}" in caplog.text


def test_capture_with_a_template_error_fails_with_the_cause(take, finish):
    bad = finish(500, name="x")
    finish(400, name="7")
    each = {"computation_id": "{{ computation.id }}", "name": "{{ 7 / (computation.name[0] | int) }}"}
    arguments = take("r1", each=each)[0][0]
    with pytest.raises(ValueError, match=rf"^name: .* cannot be rendered for computation {bad}: division"):
        CodeOceanCaptureResultOperator(task_id="capture", **arguments)
    capture = CodeOceanCaptureResultOperator(task_id="capture", computation_id=bad, name="n")
    for argument in ("name", "description", "computation_id", "tags", "custom_metadata"):
        value = arguments["name"]
        in_argument = {"tags": [value], "custom_metadata": {"field": value}}.get(argument, value)
        for name, each_value in {"name": "n", "computation_id": bad, argument: in_argument}.items():
            setattr(capture, name, each_value)
        with pytest.raises(
            AirflowFailException, match=rf"^{argument}.*: .* cannot be rendered for computation {bad}"
        ):
            capture.execute({})
        setattr(capture, argument, None)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ computation.parameters[9].value }}", "list object has no element 9"),
        ("{{ computation.nme }}", "'Computation object' has no attribute 'nme'"),
    ],
)
def test_take_template_fails_for_all_computations_fails_and_can_be_corrected(take, finish, template, reason):
    finished = finish()
    with pytest.raises(AirflowFailException) as caught:
        take("r1", each={"id": "{{ computation.id }}", "name": template}, dag=DAG("d", schedule=None))
    assert str(caught.value) == (
        f"name: {template!r} cannot be rendered for computation {finished}: {reason}. Correct the template, "
        "then clear task 'take' of this run with its downstream tasks"
    )
    assert take("r1", each={"id": "{{ computation.id }}"})[0] == [{"id": finished}]


def test_the_events_of_a_run_are_not_believed(take, finish):
    told, *others = finish(500), finish(400), finish(300)
    event = SimpleNamespace(extra={"payload": {"computations": [{"id": told}]}})
    assert ids(take("r1", events={ASSET.name: [event]})[0]) == [told, *others]


@pytest.mark.parametrize(("status", "names"), [("succeeded", ["well"]), ("failed", ["badly"]), ("any", None)])
def test_how_it_ended_makes_the_difference(take, finish, status, names):
    finish(500, name="well")
    finish(400, name="badly", end_status="failed", exit_code=1)
    finish(300, name="going", policy=Policy(seconds=3600))
    found = [each["name"].removesuffix(" 0") for each in take("r1", status=status)[0]]
    assert found == (names or ["well", "badly"])


def test_of_pipelines_as_of_capsules(take, code_ocean):
    assert take("r1", capsule_id=None, pipeline_id=code_ocean.env["CODEOCEAN_PIPELINE_ID"])[0] == []


def test_before_the_watch_has_looked_there_is_nothing_to_take(take, finish, airflow):
    if not Feature.ASSET_STATE.is_there:
        with pytest.raises(ValueError, match=r"since must be given: before Airflow 3\.3"):
            take("r1", since=None)
        return
    old = finish()
    assert take("r1", since=None)[0] == []
    airflow.kept[BASELINE] = Seen().with_all([old]).written()
    new = finish()
    taken = ids(take("r2", since=None)[0])
    assert new in taken
    assert old not in taken
    assert ids(take("r1", since=None)[0]) == []


def test_with_nothing_to_take_it_is_skipped(take):
    with pytest.raises(AirflowSkipException, match="No computation has finished that no other run has taken"):
        take("r1", on_empty="skip")


@pytest.mark.parametrize("on_empty", ["return", "skip"])
def test_take_cleared_after_it_took_nothing_takes_nothing(take, finish, on_empty):
    def take_nothing():
        if on_empty == "skip":
            with pytest.raises(AirflowSkipException):
                take("r1", on_empty=on_empty)
        else:
            assert take("r1", on_empty=on_empty)[0] == []

    take_nothing()
    finished = finish()
    take_nothing()
    assert ids(take("r2")[0]) == [finished]


def test_take_cleared_after_it_took_nothing_names_the_remedy(take, finish):
    take("r1")
    finish()
    with pytest.raises(AirflowSkipException, match=r"Run r1 took no computations .*: trigger the DAG"):
        take("r1", on_empty="skip")


def test_take_retried_after_it_failed_for_want_of_computations_takes_new_ones(take, finish):
    with pytest.raises(AirflowException, match="No computation has finished"):
        take("r1", on_empty="fail")
    finished = finish()
    assert ids(take("r1", on_empty="fail")[0]) == [finished]


def test_a_run_too_long_ago_says_so(take, finish, airflow, monkeypatch):
    monkeypatch.setattr(keeping, "_IDENTIFIERS", 1)
    for run_id in ("r1", "r2", "r3"):
        finish()
        take(run_id)
    with pytest.raises(AirflowFailException, match="what run r1 has taken is so long ago"):
        take("r1")


def test_what_is_written_down_tells_whose_it_is(take, finish, airflow):
    over = finish()
    take("r1")
    [(key, value)] = airflow.kept.items()
    written = json.loads(value) if isinstance(value, str) else value
    assert written["runs"] == {"r1": [over]}
    if Feature.ASSET_STATE.is_there:
        assert key == TAKEN
    else:
        assert key.startswith("codeocean_taken_")
        assert airflow.descriptions[key] == "Of the asset what is watched"


def test_what_somebody_has_spoilt_is_told(take, finish, airflow):
    finish()
    take("r1")
    [key] = airflow.kept
    airflow.kept[key] = "[]" if key != TAKEN else []
    with pytest.raises(AirflowFailException, match="asset 'what is watched': this is no record"):
        take("r2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"capsule_id": None}, "give exactly one of capsule_id, pipeline_id, got none"),
        ({"status": "over"}, "status must be one of"),
        ({"limit": 0}, "limit must be a whole number from 1 to 1024"),
        ({"limit": 1025}, "limit must be a whole number from 1 to 1024"),
        ({"since": "yesterday"}, "since must be a time with a zone"),
        ({"each": {"name": "{{ computation.name"}}, "name is no template"),
        ({"on_empty": "wait"}, "on_empty must be one of"),
    ],
)
def test_what_is_wrong_is_told_when_the_dag_is_parsed(arguments, message):
    usual = {"capsule_id": "c1", "since": 0}
    with pytest.raises(ValueError, match=message):
        CodeOceanTakeFinishedComputationsOperator(task_id="take", asset=ASSET, **{**usual, **arguments})
