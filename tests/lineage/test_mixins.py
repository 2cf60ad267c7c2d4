"""Asset events and lineage of tasks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias, TaskDeferred

from airflow_provider_codeocean.operators._submit_once import runner
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

ALIAS = AssetAlias("created here")


@pytest.fixture(autouse=True)
def never_superseded(monkeypatch):
    """No attempt is superseded: there is no Airflow to ask."""
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)


class DurableState(dict):
    def __bool__(self):
        return True

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


def events(task_context):
    """Return the ``extra`` of each event of the alias."""
    accessor = task_context["outlet_events"][ALIAS]
    alias_events = getattr(accessor, "asset_alias_events", None)
    if alias_events is None:
        return [event["extra"] for event in accessor.dataset_alias_events]
    return [event.extra for event in alias_events]


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
    facets = operator.get_openlineage_facets_on_complete(None)
    return [dataset.name for dataset in facets.inputs], [dataset.name for dataset in facets.outputs]


def test_capture_on_retry_emits_event_for_adopted_data_asset_once(code_ocean):
    state = DurableState()
    asset = capture(code_ocean, wait_for_completion=False).execute(context(state=state))
    task_context = context(try_number=2, state=state)
    adopting = capture(code_ocean)
    assert adopting.execute(task_context)["id"] == asset["id"]
    assert [event["data_asset_id"] for event in events(task_context)] == [asset["id"]]
    assert lineage(adopting)[1] == [f"data_assets/{asset['id']}"]


def test_capture_with_capsule_id_added_on_retry_adopts_data_asset(code_ocean):
    """A task that gets its ``capsule_id`` between two attempts adopts the job of the first."""
    asset = capture(code_ocean).execute(context())
    again = capture(code_ocean, capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    assert again.execute(context(try_number=2))["id"] == asset["id"]


def test_transfer_with_files_at_target_emits_event_without_lineage(code_ocean):
    asset = capture(code_ocean).execute(context())
    for outputs in (2, 0):  # the data asset and its location; the second time nothing is transferred
        task_context = context()
        operator = transfer(code_ocean, asset["id"])
        operator.execute(task_context)
        assert [event["data_asset_id"] for event in events(task_context)] == [asset["id"]]
        assert len(lineage(operator)[1]) == outputs


def test_transfer_on_retry_keeps_source_in_lineage(code_ocean):
    asset = capture(code_ocean).execute(context())
    state = DurableState()
    first = transfer(code_ocean, asset["id"])
    first.wait_for_completion = False
    task_context = context(state=state)
    first.execute(task_context)
    assert events(task_context) == []
    assert lineage(first) == ([], [])
    second = transfer(code_ocean, asset["id"])
    second.execute(context(state=state))
    assert lineage(second)[0] == [f"data_assets/{asset['id']}"]


def test_transfer_after_deferral_keeps_source_in_lineage(code_ocean):
    asset = capture(code_ocean).execute(context())
    first = transfer(code_ocean, asset["id"])
    first.deferrable = True
    with pytest.raises(TaskDeferred) as deferred:
        first.execute(context())
    event = {"status": "success", "state": "ready", "message": "", **deferred.value.trigger.event_fields()}
    ends = transfer(code_ocean, asset["id"])
    task_context = context()
    ends.execute_complete(task_context, event, **deferred.value.kwargs)
    assert [event["data_asset_id"] for event in events(task_context)] == [asset["id"]]
    assert lineage(ends)[0] == [f"data_assets/{asset['id']}"]


def test_failed_capture_emits_no_event_and_no_lineage(code_ocean):
    task_context = context()
    operator = capture(code_ocean, target={"bucket": "no-such-bucket"})
    with pytest.raises(Exception, match="no-such-bucket"):
        operator.execute(task_context)
    assert events(task_context) == []
    assert lineage(operator) == ([], [])


@pytest.mark.parametrize("kind", ["capture", "create", "run"])
def test_lineage_sends_no_request(code_ocean, kind):
    if kind == "capture":
        operator = capture(code_ocean)
    elif kind == "create":
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


def test_outlets_of_other_kinds_are_ignored(code_ocean):
    operator = capture(code_ocean)
    operator.outlets = ["no asset", Asset("x-test://plain")]
    task_context = context()
    asset = operator.execute(task_context)
    assert task_context["outlet_events"][Asset("x-test://plain")].extra["data_asset_id"] == asset["id"]
    assert len(task_context["outlet_events"]) == 1
