"""A transfer that is begun once, whatever becomes of a try."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.data_asset import SourceBucket
from airflow_provider_codeocean.api.models.data_asset_params import AWSTarget, DataAssetParams, TransferParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator, _is_there


class TaskInstance:
    start_date = None

    def xcom_push(self, key, value):
        pass


class DurableState(dict):
    def set(self, key, value):
        self[key] = value


@pytest.fixture
def asset(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    params = DataAssetParams.model_validate({"name": "n", "mount": "n", "tags": [], "source": source})
    with CodeOceanHook().get_conn() as client:
        made = client.data_assets.create(params)
    return CodeOceanHook().wait_for_data_asset(made.id, poll_interval=0.01)


@pytest.fixture
def transfer(code_ocean, asset):
    """``transfer(state, bucket)`` is one try; ``transfer.begun()`` how often one was begun."""

    def one_try(state=None, bucket=None, **arguments):
        operator = CodeOceanTransferDataAssetOperator(
            task_id="t",
            data_asset_id=asset.id,
            target={"bucket": bucket or code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"], "prefix": "p"},
            poll_interval=0.01,
            **{"timeout": 20} | arguments,
        )
        return operator.execute({"ti": TaskInstance(), "task_state_store": state})

    endpoint = "POST /api/v1/data_assets/{data_asset_id}/transfer"
    one_try.begun = lambda: code_ocean.emulator.traffic.requests[endpoint]
    return one_try


def lasting(code_ocean, reads):
    code_ocean.emulator.transitions = Transitions(transfers=Policy(reads=reads))


def test_a_retry_goes_on_waiting_for_what_an_earlier_try_began(code_ocean, transfer):
    state = DurableState()
    lasting(code_ocean, 10)
    transfer(state, wait_for_completion=False)
    assert transfer(state)["last_transferred"]
    assert transfer.begun() == 1


def test_a_retry_takes_what_was_done_meanwhile(code_ocean, transfer):
    state = DurableState()
    transfer(state, wait_for_completion=False)
    assert transfer(state)["last_transferred"]
    assert transfer.begun() == 1


def test_a_retry_begins_what_may_not_have_been_begun(code_ocean, transfer):
    state = DurableState()
    lasting(code_ocean, 3)
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets/*/transfer", kind="close_before"))
    with pytest.raises(CodeOceanError):
        transfer(state)
    assert transfer(state)["last_transferred"]


def test_a_transfer_whose_answer_was_lost_is_not_begun_again_once_it_is_done(code_ocean, transfer):
    state = DurableState()
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets/*/transfer", kind="close_after"))
    with pytest.raises(CodeOceanError):
        transfer(state)
    assert transfer(state)["last_transferred"]
    assert transfer.begun() == 1


def test_one_that_failed_as_the_one_before_is_begun_again_by_a_cleared_task(code_ocean, transfer):
    """Code Ocean may not take an error back while the next transfer is under way."""
    state = DurableState()
    with pytest.raises(Exception, match="no-such-bucket"):
        transfer(state, "no-such-bucket")
    with pytest.raises(Exception, match="no-such-bucket"):
        transfer(state, "no-such-bucket", timeout=0.3)
    with pytest.raises(Exception, match="no-such-bucket"):
        transfer(state, "no-such-bucket", timeout=0.3)
    assert transfer.begun() == 3


def test_out_of_time_a_retry_goes_on_waiting(code_ocean, transfer):
    state = DurableState()
    lasting(code_ocean, 40)
    with pytest.raises(CodeOceanError, match="was not done in time"):
        transfer(state, timeout=0.1)
    assert transfer(state)["last_transferred"]
    assert transfer.begun() == 1


def test_a_task_that_is_cleared_moves_files_that_were_moved_away(code_ocean, transfer, asset):
    state = DurableState()
    transfer(state)
    target = {"target": {"aws": {"bucket": code_ocean.env["CODEOCEAN_RESULTS_BUCKET"]}}}
    with CodeOceanHook().get_conn() as client:
        client.data_assets.transfer(asset.id, TransferParams.model_validate(target))
    assert transfer(state)["source_bucket"]["bucket"] == code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    assert transfer.begun() == 3


def test_files_that_are_there_are_not_moved_again(code_ocean, transfer):
    transfer()
    assert transfer()["last_transferred"]
    assert transfer.begun() == 1


def test_a_bucket_of_that_name_at_another_endpoint_is_another_one(asset):
    there = {"bucket": "b", "prefix": "/p/", "external": True, "origin": "aws"}
    moved = asset.model_copy(update={"source_bucket": SourceBucket.model_validate(there)})
    assert _is_there(moved, AWSTarget(bucket="b", prefix="p"))
    assert not _is_there(moved, AWSTarget(bucket="b", prefix="p", endpoint_name="onsite"))
    assert not _is_there(moved, AWSTarget(bucket="b"))
    assert not _is_there(moved, AWSTarget(bucket="c", prefix="p"))
    assert not _is_there(asset, AWSTarget(bucket="b"))


def test_one_that_failed_is_begun_again_by_a_cleared_task(code_ocean, transfer):
    state = DurableState()
    with pytest.raises(Exception, match=r"The transfer of data asset .* failed: .*no-such-bucket"):
        transfer(state, "no-such-bucket")
    # The error is the same, and was never taken back in between: only its time ends this wait.
    with pytest.raises(CodeOceanError, match="no-such-bucket"):
        transfer(state, "no-such-bucket", timeout=1)
    assert transfer.begun() == 2
    assert transfer(state)["last_transferred"]


def test_out_of_time_it_says_what_goes_on(code_ocean, transfer):
    lasting(code_ocean, 10_000)
    with pytest.raises(CodeOceanError, match=r"The transfer of data asset .* was not done in time"):
        transfer(timeout=0.1)


def test_killed_it_says_what_goes_on(asset, caplog):
    operator = CodeOceanTransferDataAssetOperator(task_id="t", data_asset_id=asset.id, target={"bucket": "b"})
    operator.on_kill()
    assert caplog.text == ""
    operator._wait = operator._new_wait({})
    operator.on_kill()
    assert f"the transfer of data asset {asset.id} goes on" in caplog.text
