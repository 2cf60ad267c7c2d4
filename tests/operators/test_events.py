"""Claims of finished computations: each computation belongs to one run, and a run always gets its own."""

from __future__ import annotations

import json
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_codeocean.api.text import TEMPLATE_ERROR_KEY
from airflow_provider_codeocean.compat import features
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.emulator import Policy
from airflow_provider_codeocean.emulator.seeding.bulk import ComputationSeed, seed_computations
from airflow_provider_codeocean.events import claims as keeping
from airflow_provider_codeocean.events.seen_set import BASELINE_KEY, CLAIMS_KEY, SeenSet
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.events import CodeOceanClaimFinishedComputationsOperator
from airflow_provider_codeocean.submission.keys import append_key

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
if AIRFLOW < (3, 0):
    pytest.skip("Airflow 2 has no asset watchers", allow_module_level=True)
else:
    from airflow.sdk import DAG, Asset, AssetAlias
    from airflow.sdk.exceptions import AirflowRuntimeError

ASSET = Asset("watched")


class Airflow:
    """Fake supervisor of a task. It stores the state of assets, and Variables.

    :ivar kept: stored values by key.
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
    """Fake Airflow with each place to store claims: the state of assets, and Variables."""
    has_state = request.param == "state of assets"
    if has_state and AIRFLOW < (3, 3):
        pytest.skip("assets have a state from Airflow 3.3 on")
    monkeypatch.setattr(features, "AIRFLOW_VERSION", AIRFLOW if has_state else min(AIRFLOW, (3, 2)))
    return Airflow(monkeypatch)


@pytest.fixture
def claim(code_ocean, airflow):
    """``claim(run_id)`` returns the claimed computations, and the number of events of the asset."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    env = code_ocean.env

    def claim(run_id, events=None, **arguments):
        usual = {"capsule_id": env["CODEOCEAN_CAPSULE_ID"], "since": code_ocean.emulator.now() - 1000}
        operator = CodeOceanClaimFinishedComputationsOperator(
            task_id="claim", asset=ASSET, **{"on_empty": "return", **usual, **arguments}
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
        events = context["outlet_events"][AssetAlias("watched remaining")].asset_alias_events
        return returned, len(events)

    return claim


@pytest.fixture
def finish(code_ocean):
    def finish(age=500.0, **fields):
        [made] = seed_computations(code_ocean.emulator, ComputationSeed(age=age, **fields))
        return made.id

    return finish


def ids(returned):
    return [item["id"] for item in returned]


def test_claim_returns_oldest_first_and_each_once(claim, finish):
    later, first = finish(400), finish(500)
    assert ids(claim("r1")[0]) == [first, later]
    last = finish(300)
    assert ids(claim("r2")[0]) == [last]
    assert claim("r3") == ([], 0)


def test_claim_repeated_by_run_returns_same_computations(claim, finish):
    later = finish(400)
    assert ids(claim("r1")[0]) == [later]
    finish(500)  # created before the claimed one
    assert ids(claim("r1")[0]) == [later]


def test_claim_with_more_than_limit_emits_event_for_next_run(claim, finish):
    first, second, third = finish(500), finish(400), finish(300)
    returned, events = claim("r1", limit=2)
    assert (ids(returned), events) == ([first, second], 1)
    returned, events = claim("r2", limit=2)
    assert (ids(returned), events) == ([third], 0)


def test_claim_killed_before_saving_claims_nothing(claim, finish, airflow):
    first = finish()
    airflow.is_killed_at_writing = True
    with pytest.raises(KeyboardInterrupt):
        claim("r1")
    airflow.is_killed_at_writing = False
    assert ids(claim("r2")[0]) == [first]


def test_claim_with_unreadable_state_raises(claim, finish, airflow):
    first = finish()
    claim("r1")
    airflow.is_in_trouble = True
    with pytest.raises(AirflowRuntimeError, match="API_SERVER_ERROR"):
        claim("r2")
    airflow.is_in_trouble = False
    assert ids(claim("r1")[0]) == [first]
    assert claim("r2")[0] == []


def test_claim_repeated_after_deletion_keeps_position(claim, finish, code_ocean):
    first, second = finish(500), finish(400)
    claim("r1")
    code_ocean.store.computations.delete(first)
    returned, _ = claim("r1", map_fields={"id": "{{ computation.id }}", "name": "{{ computation.name }}"})
    assert returned == [{"id": first, "name": first}, {"id": second, "name": "seeded run 0"}]


def test_claim_map_fields_render_computation_and_run(claim, finish):
    finished = finish(name="{{ run_id }}")
    map_fields = {
        "name": "{{ run_id }}: {{ computation.name }}",
        "parts": ["{{ computation.id }}", 7],
        "more": None,
    }
    assert claim("r1", map_fields=map_fields)[0] == [
        {"name": "r1: {{ run_id }} 0", "parts": [finished, 7], "more": None}
    ]


@pytest.mark.fault("N9")
@pytest.mark.parametrize("include_own", [True, False])
def test_claim_without_include_own_skips_own_computations(claim, finish, include_own):
    theirs = finish(500, name="by hand")
    own = finish(400, name=append_key("sort", f"airflow{7:032x}"))
    claimed = ids(claim("r1", include_own=include_own)[0])
    assert claimed == ([theirs, own] if include_own else [theirs])


def test_claim_map_fields_computation_name_excludes_key(claim, finish):
    finish(name=append_key("sort", f"airflow{7:032x}"))
    assert claim("r1", map_fields={"name": "{{ computation.name }}"})[0] == [{"name": "sort 0"}]


def test_claim_map_fields_in_native_dag_render_text(claim, finish):
    finished = finish(name="2024")
    map_fields = {"id": "{{ computation.id }}", "size": "{{ computation.name[:4] }}"}
    dag = DAG("native", schedule=None, render_template_as_native_obj=True)
    assert claim("r1", map_fields=map_fields, dag=dag)[0] == [{"id": finished, "size": "2024"}]


def test_claim_with_one_template_error_returns_cause_in_its_place(claim, finish, caplog):
    bad, good = finish(500, name="x"), finish(400, name="7")
    half = "{{ 7 / (computation.name[0] | int) }}"
    map_fields = {"id": "{{ computation.id }}", "parts": [half, "a"]}
    cause = (
        f"{half!r} cannot be rendered for computation {bad}: division by zero. Correct the template, then "
        "clear task 'claim' of this run with its downstream tasks"
    )
    assert claim("r1", map_fields=map_fields)[0] == [
        {"id": bad, "parts": [{TEMPLATE_ERROR_KEY: cause}, "a"]},
        {"id": good, "parts": ["1.0", "a"]},
    ]
    assert f"parts.0: {cause}" in caplog.text


def test_capture_with_template_error_fails_with_cause(claim, finish):
    bad = finish(500, name="x")
    finish(400, name="7")
    map_fields = {"computation_id": "{{ computation.id }}", "name": "{{ 7 / (computation.name[0] | int) }}"}
    arguments = claim("r1", map_fields=map_fields)[0][0]
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
def test_claim_with_only_template_errors_fails_and_can_be_corrected(claim, finish, template, reason):
    finished = finish()
    with pytest.raises(AirflowFailException) as caught:
        claim("r1", map_fields={"id": "{{ computation.id }}", "name": template}, dag=DAG("d", schedule=None))
    assert str(caught.value) == (
        f"name: {template!r} cannot be rendered for computation {finished}: {reason}. Correct the template, "
        "then clear task 'claim' of this run with its downstream tasks"
    )
    assert claim("r1", map_fields={"id": "{{ computation.id }}"})[0] == [{"id": finished}]


def test_claim_with_triggering_events_returns_unlisted_computations_too(claim, finish):
    first, *others = finish(500), finish(400), finish(300)
    event = SimpleNamespace(extra={"payload": {"computations": [{"id": first}]}})
    assert ids(claim("r1", events={ASSET.name: [event]})[0]) == [first, *others]


@pytest.mark.parametrize(("status", "names"), [("succeeded", ["well"]), ("failed", ["badly"]), ("any", None)])
def test_claim_with_status_filters_by_outcome(claim, finish, status, names):
    finish(500, name="well")
    finish(400, name="badly", end_status="failed", exit_code=1)
    finish(300, name="going", policy=Policy(seconds=3600))
    claimed_names = [item["name"].removesuffix(" 0") for item in claim("r1", status=status)[0]]
    assert claimed_names == (names or ["well", "badly"])


def test_claim_with_pipeline_id_searches_pipeline(claim, code_ocean):
    assert claim("r1", capsule_id=None, pipeline_id=code_ocean.env["CODEOCEAN_PIPELINE_ID"])[0] == []


def test_claim_without_since_before_baseline_returns_nothing(claim, finish, airflow):
    if not Feature.ASSET_STATE_STORE.is_available:
        with pytest.raises(ValueError, match=r"'since' is required on Airflow < 3\.3"):
            claim("r1", since=None)
        return
    old = finish()
    assert claim("r1", since=None)[0] == []
    airflow.kept[BASELINE_KEY] = SeenSet().updated_with([old]).to_json()
    new = finish()
    claimed = ids(claim("r2", since=None)[0])
    assert new in claimed
    assert old not in claimed
    assert ids(claim("r1", since=None)[0]) == []


def test_claim_without_computations_skips(claim):
    with pytest.raises(
        AirflowSkipException, match="There is no finished computation that no other run has claimed"
    ):
        claim("r1", on_empty="skip")


@pytest.mark.parametrize("on_empty", ["return", "skip"])
def test_claim_cleared_after_empty_claim_returns_nothing(claim, finish, on_empty):
    def take_nothing():
        if on_empty == "skip":
            with pytest.raises(AirflowSkipException):
                claim("r1", on_empty=on_empty)
        else:
            assert claim("r1", on_empty=on_empty)[0] == []

    take_nothing()
    finished = finish()
    take_nothing()
    assert ids(claim("r2")[0]) == [finished]


def test_claim_cleared_after_empty_claim_logs_remedy(claim, finish):
    claim("r1")
    finish()
    with pytest.raises(AirflowSkipException, match=r"Run r1 claimed no computations .*, trigger the DAG"):
        claim("r1", on_empty="skip")


def test_claim_retried_after_failing_on_empty_returns_new_computations(claim, finish):
    with pytest.raises(AirflowException, match="There is no finished computation"):
        claim("r1", on_empty="fail")
    finished = finish()
    assert ids(claim("r1", on_empty="fail")[0]) == [finished]


def test_claim_of_forgotten_run_fails(claim, finish, airflow, monkeypatch):
    monkeypatch.setattr(keeping, "_MAX_LISTED_IDS", 1)
    for run_id in ("r1", "r2", "r3"):
        finish()
        claim(run_id)
    with pytest.raises(AirflowFailException, match="the claims of run r1 are too old"):
        claim("r1")


def test_claims_record_names_runs_and_asset(claim, finish, airflow):
    finished = finish()
    claim("r1")
    [(key, value)] = airflow.kept.items()
    written = json.loads(value) if isinstance(value, str) else value
    assert written["claims_by_run"] == {"r1": [finished]}
    if Feature.ASSET_STATE_STORE.is_available:
        assert key == CLAIMS_KEY
    else:
        assert key.startswith("codeocean_claims_")
        assert airflow.descriptions[key] == "State of the asset watched"


def test_claim_with_corrupt_record_fails(claim, finish, airflow):
    finish()
    claim("r1")
    [key] = airflow.kept
    airflow.kept[key] = "[]" if key != CLAIMS_KEY else []
    with pytest.raises(
        AirflowFailException, match="asset 'watched': the stored value has format None, expected 1"
    ):
        claim("r2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"capsule_id": None}, "give exactly one of capsule_id, pipeline_id, got none"),
        ({"status": "over"}, "status must be one of"),
        ({"limit": 0}, "limit must be a whole number from 1 to 1024"),
        ({"limit": 1025}, "limit must be a whole number from 1 to 1024"),
        ({"since": "yesterday"}, "since must be a time with a zone"),
        ({"map_fields": {"name": "{{ computation.name"}}, "name is no template"),
        ({"on_empty": "wait"}, "on_empty must be one of"),
    ],
)
def test_claim_with_invalid_arguments_raises_at_parse_time(arguments, message):
    usual = {"capsule_id": "c1", "since": 0}
    with pytest.raises(ValueError, match=message):
        CodeOceanClaimFinishedComputationsOperator(task_id="claim", asset=ASSET, **{**usual, **arguments})
