"""A transfer is submitted once, however an attempt ends."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.data_asset import SourceBucket
from airflow_provider_codeocean.api.models.data_asset_params import AWSTarget, DataAssetParams, TransferParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator, _is_at_target


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
        created = client.data_assets.create(params)
    return CodeOceanHook().wait_for_data_asset(created.id, poll_interval=0.01)


@pytest.fixture
def transfer(code_ocean, asset):
    """``transfer(state, bucket)`` runs one attempt; ``transfer.count()`` counts the submitted transfers."""

    def attempt(state=None, bucket=None, **arguments):
        operator = CodeOceanTransferDataAssetOperator(
            task_id="t",
            data_asset_id=asset.id,
            target={"bucket": bucket or code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"], "prefix": "p"},
            poll_interval=0.01,
            **{"timeout": 20} | arguments,
        )
        return operator.execute({"ti": TaskInstance(), "task_state_store": state})

    endpoint = "POST /api/v1/data_assets/{data_asset_id}/transfer"
    attempt.count = lambda: code_ocean.emulator.traffic.requests[endpoint]
    return attempt


def lasting(code_ocean, reads):
    code_ocean.emulator.transitions = Transitions(transfers=Policy(reads=reads))


def test_transfer_on_retry_while_pending_continues_waiting(code_ocean, transfer):
    state = DurableState()
    lasting(code_ocean, 10)
    transfer(state, wait_for_completion=False)
    assert transfer(state)["last_transferred"]
    assert transfer.count() == 1


def test_transfer_on_retry_after_success_returns_it(code_ocean, transfer):
    state = DurableState()
    transfer(state, wait_for_completion=False)
    assert transfer(state)["last_transferred"]
    assert transfer.count() == 1


def test_transfer_on_retry_with_request_not_applied_resends_it(code_ocean, transfer):
    state = DurableState()
    lasting(code_ocean, 3)
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets/*/transfer", kind="close_before"))
    with pytest.raises(CodeOceanError):
        transfer(state)
    assert transfer(state)["last_transferred"]


def test_transfer_on_retry_after_lost_response_does_not_resend_it(code_ocean, transfer):
    state = DurableState()
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets/*/transfer", kind="close_after"))
    with pytest.raises(CodeOceanError):
        transfer(state)
    assert transfer(state)["last_transferred"]
    assert transfer.count() == 1


def test_transfer_on_cleared_task_after_same_error_twice_resends_it(code_ocean, transfer):
    """Code Ocean may not clear an error while the next transfer is pending."""
    state = DurableState()
    with pytest.raises(Exception, match="no-such-bucket"):
        transfer(state, "no-such-bucket")
    with pytest.raises(Exception, match="no-such-bucket"):
        transfer(state, "no-such-bucket", timeout=0.3)
    with pytest.raises(Exception, match="no-such-bucket"):
        transfer(state, "no-such-bucket", timeout=0.3)
    assert transfer.count() == 3


def test_transfer_on_retry_after_timeout_continues_waiting(code_ocean, transfer):
    state = DurableState()
    lasting(code_ocean, 40)
    with pytest.raises(CodeOceanError, match="was not done in time"):
        transfer(state, timeout=0.1)
    assert transfer(state)["last_transferred"]
    assert transfer.count() == 1


def test_transfer_on_cleared_task_with_files_moved_away_resends_it(code_ocean, transfer, asset):
    state = DurableState()
    transfer(state)
    target = {"target": {"aws": {"bucket": code_ocean.env["CODEOCEAN_RESULTS_BUCKET"]}}}
    with CodeOceanHook().get_conn() as client:
        client.data_assets.transfer(asset.id, TransferParams.model_validate(target))
    assert transfer(state)["source_bucket"]["bucket"] == code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    assert transfer.count() == 3


def test_transfer_with_files_at_target_requests_nothing(code_ocean, transfer):
    transfer()
    assert transfer()["last_transferred"]
    assert transfer.count() == 1


def test_is_at_target_compares_bucket_prefix_and_endpoint(asset):
    bucket = {"bucket": "b", "prefix": "/p/", "external": True, "origin": "aws"}
    moved = asset.model_copy(update={"source_bucket": SourceBucket.model_validate(bucket)})
    assert _is_at_target(moved, AWSTarget(bucket="b", prefix="p"))
    assert not _is_at_target(moved, AWSTarget(bucket="b", prefix="p", endpoint_name="onsite"))
    assert not _is_at_target(moved, AWSTarget(bucket="b"))
    assert not _is_at_target(moved, AWSTarget(bucket="c", prefix="p"))
    assert not _is_at_target(asset, AWSTarget(bucket="b"))


def test_transfer_on_cleared_task_after_error_resends_it(code_ocean, transfer):
    state = DurableState()
    with pytest.raises(Exception, match=r"The transfer of data asset .* failed: .*no-such-bucket"):
        transfer(state, "no-such-bucket")
    # The error is the same, and was never cleared in between: only the timeout ends this wait.
    with pytest.raises(CodeOceanError, match="no-such-bucket"):
        transfer(state, "no-such-bucket", timeout=1)
    assert transfer.count() == 2
    assert transfer(state)["last_transferred"]


def test_transfer_after_timeout_error_names_data_asset(code_ocean, transfer):
    lasting(code_ocean, 10_000)
    with pytest.raises(CodeOceanError, match=r"The transfer of data asset .* was not done in time"):
        transfer(timeout=0.1)


def test_transfer_on_kill_logs_continuing_transfer(asset, caplog):
    operator = CodeOceanTransferDataAssetOperator(task_id="t", data_asset_id=asset.id, target={"bucket": "b"})
    operator.on_kill()
    assert caplog.text == ""
    operator._wait = operator._build_wait({})
    operator.on_kill()
    assert f"the transfer of data asset {asset.id} continues if it was submitted" in caplog.text
