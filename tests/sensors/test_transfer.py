"""The transfer sensor: argument checks and polls."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.api.models.data_asset_params import TransferParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.sensors.transfer import CodeOceanTransferSensor


class TaskInstance:
    """The part of the running task's instance that sensors use."""

    map_index = -1

    def xcom_push(self, key, value):
        """Ignore an XCom."""


@pytest.fixture
def asset_id(code_ocean):
    return code_ocean.env["CODEOCEAN_DATA_ASSET_ID"]


@pytest.fixture
def transfer(code_ocean, asset_id):
    def to(bucket):
        with CodeOceanHook().get_conn() as client:
            before = client.data_assets.get(asset_id)
            target = {"target": {"aws": {"bucket": code_ocean.env.get(bucket, "no-such-bucket")}}}
            client.data_assets.transfer(asset_id, TransferParams.model_validate(target | {"force": True}))
        return {"last_transferred": before.last_transferred, "transfer_error": before.transfer_error}

    return to


def sensor(data_asset_id, **arguments):
    return CodeOceanTransferSensor(task_id="sense", data_asset_id=data_asset_id, **arguments)


def poke(data_asset_id, **arguments):
    return sensor(data_asset_id, **arguments).poke({"ti": TaskInstance()})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_asset_id": ""}, "data_asset_id: must not be empty"),
        ({"last_transferred": "yesterday"}, "last_transferred must be a time in Unix seconds, or None"),
        ({"last_transferred": -1}, "last_transferred must be"),
        ({"last_transferred": True}, "last_transferred must be"),
        ({"last_transferred": ["x"]}, "last_transferred must be"),
    ],
)
def test_transfer_sensor_with_invalid_arguments_raises_at_parse_time(arguments, message):
    with pytest.raises(ValueError, match=message):
        sensor(**{"data_asset_id": "a1"} | arguments)


def test_poke_without_previous_state_accepts_any_transfer(asset_id, transfer):
    assert not poke(asset_id).is_done
    transfer("CODEOCEAN_ARCHIVE_BUCKET")
    poll = poke(asset_id, last_transferred="None", transfer_error="None")  # as templates render None
    assert poll.is_done
    assert poll.xcom_value["id"] == asset_id


def test_poke_with_earlier_transfer_is_pending(asset_id, transfer):
    transfer("CODEOCEAN_ARCHIVE_BUCKET")
    with CodeOceanHook().get_conn() as client:
        last_transferred = client.data_assets.get(asset_id).last_transferred
    assert not poke(asset_id, last_transferred=str(last_transferred)).is_done


def test_poke_with_failed_transfer_raises_with_reason(asset_id, transfer):
    before = transfer("no such")
    with pytest.raises(
        AirflowFailException, match=rf"The transfer of data asset {asset_id} failed: .*no-such"
    ):
        poke(asset_id, **before)


def test_build_trigger_passes_previous_state():
    transfer_sensor = sensor("a1", last_transferred="7.5", transfer_error="no such bucket")
    assert transfer_sensor.build_trigger(5.0, 9.0).serialize()[1] == {
        "data_asset_id": "a1",
        "last_transferred": 7.5,
        "transfer_error": "no such bucket",
        "codeocean_conn_id": "codeocean_default",
        "poll_interval": 5.0,
        "deadline": 9.0,
        "end_from_trigger": None,
    }
