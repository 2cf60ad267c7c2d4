"""What tasks tell of what they have made, and what that costs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias, TaskDeferred

from airflow_provider_codeocean.operators._submit_once import operator
from airflow_provider_codeocean.operators.computation import CodeOceanRunCapsuleOperator
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanCaptureResultOperator,
    CodeOceanCreateDataAssetOperator,
)
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # Airflow 2
    from airflow.utils.context import OutletEventAccessors

ALIAS = AssetAlias("made here")


@pytest.fixture(autouse=True)
def never_overtaken(monkeypatch):
    """There is no task to ask Airflow for."""
    monkeypatch.setattr(operator, "overtaken", lambda context: False)


class DurableState(dict):
    def set(self, key, value):
        self[key] = value


def context(try_number=1, state=None):
    return {
        "ti": SimpleNamespace(
            dag_id="d",
            run_id="r",
            task_id="t",
            map_index=-1,
            try_number=try_number,
            max_tries=1,
            start_date=None,
            xcom_push=lambda **_: None,
        ),
        "outlet_events": OutletEventAccessors(),
        "task_state_store": DurableState() if state is None else state,
    }


def events(running):
    """The events under the alias: what tells which data asset, of each."""
    accessor = running["outlet_events"][ALIAS]
    told = getattr(accessor, "asset_alias_events", None)
    if told is None:
        return [each["extra"] for each in accessor.dataset_alias_events]
    return [each.extra for each in told]


def capture(code_ocean, **arguments):
    return CodeOceanCaptureResultOperator(
        task_id="t",
        retries=1,
        computation_id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
        name="n",
        outlets=[ALIAS],
        poll_interval=0.01,
        **{"deferrable": False} | arguments,
    )


def transfer(code_ocean, data_asset_id):
    return CodeOceanTransferDataAssetOperator(
        task_id="t",
        data_asset_id=data_asset_id,
        target={"bucket": code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]},
        outlets=[ALIAS],
        poll_interval=0.01,
        deferrable=False,
    )


def lineage(operator):
    told = operator.get_openlineage_facets_on_complete(None)
    return [each.name for each in told.inputs], [each.name for each in told.outputs]


def test_what_an_earlier_try_made_is_announced_as_well_and_once(code_ocean):
    state = DurableState()
    made = capture(code_ocean, wait_for_completion=False).execute(context(state=state))
    running = context(try_number=2, state=state)
    adopting = capture(code_ocean)
    assert adopting.execute(running)["id"] == made["id"]
    assert [each["data_asset_id"] for each in events(running)] == [made["id"]]
    assert lineage(adopting)[1] == [f"data_assets/{made['id']}"]


def test_the_capsule_does_not_tell_one_capture_from_another(code_ocean):
    """A task that gets its ``capsule_id`` between two tries goes on with what the first has made."""
    made = capture(code_ocean).execute(context())
    again = capture(code_ocean, capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    assert again.execute(context(try_number=2))["id"] == made["id"]


def test_files_that_are_there_are_announced_but_have_not_come_from_anywhere(code_ocean):
    made = capture(code_ocean).execute(context())
    for outputs in (2, 0):  # the data asset and its place; the second time nothing is moved
        running = context()
        operator = transfer(code_ocean, made["id"])
        operator.execute(running)
        assert [each["data_asset_id"] for each in events(running)] == [made["id"]]
        assert len(lineage(operator)[1]) == outputs


def test_a_retry_knows_where_the_files_came_from(code_ocean):
    made = capture(code_ocean).execute(context())
    state = DurableState()
    first = transfer(code_ocean, made["id"])
    first.wait_for_completion = False
    running = context(state=state)
    first.execute(running)
    assert events(running) == []
    assert lineage(first) == ([], [])
    second = transfer(code_ocean, made["id"])
    second.execute(context(state=state))
    assert lineage(second)[0] == [f"data_assets/{made['id']}"]


def test_a_transfer_that_waited_in_the_triggerer_knows_it_too(code_ocean):
    made = capture(code_ocean).execute(context())
    begins = transfer(code_ocean, made["id"])
    begins.deferrable = True
    with pytest.raises(TaskDeferred) as deferred:
        begins.execute(context())
    event = {"status": "success", "state": "ready", "message": "", **deferred.value.trigger.about()}
    ends = transfer(code_ocean, made["id"])
    running = context()
    ends.execute_complete(running, event, **deferred.value.kwargs)
    assert [each["data_asset_id"] for each in events(running)] == [made["id"]]
    assert lineage(ends)[0] == [f"data_assets/{made['id']}"]


def test_nothing_is_told_of_a_task_that_failed(code_ocean):
    running = context()
    operator = capture(code_ocean, target={"bucket": "no-such-bucket"})
    with pytest.raises(Exception, match="no-such-bucket"):
        operator.execute(running)
    assert events(running) == []
    assert lineage(operator) == ([], [])


@pytest.mark.parametrize("what", ["capture", "create", "run"])
def test_telling_costs_no_request(code_ocean, what):
    if what == "capture":
        operator = capture(code_ocean)
    elif what == "create":
        source = {"aws": {"bucket": code_ocean.env["CODEOCEAN_PUBLIC_BUCKET"], "public": True}}
        operator = CodeOceanCreateDataAssetOperator(
            task_id="t", name="n", source=source, poll_interval=0.01, deferrable=False
        )
    else:
        operator = CodeOceanRunCapsuleOperator(
            task_id="t",
            capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"],
            poll_interval=0.01,
            deferrable=False,
        )
    operator.execute(context())
    before = dict(code_ocean.emulator.traffic.requests)
    inputs, outputs = lineage(operator)
    assert inputs
    assert outputs
    assert dict(code_ocean.emulator.traffic.requests) == before


def test_outlets_of_other_kinds_are_left_alone(code_ocean):
    operator = capture(code_ocean)
    operator.outlets = ["no asset", Asset("x-test://plain")]
    running = context()
    made = operator.execute(running)
    assert running["outlet_events"][Asset("x-test://plain")].extra["data_asset_id"] == made["id"]
    assert len(running["outlet_events"]) == 1
