"""What the sensor of transfers refuses, and what it sees."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.api.models.data_asset_params import TransferParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.sensors.transfer import CodeOceanTransferSensor


class TaskInstance:
    """What the running task's instance is asked for."""

    map_index = -1

    def xcom_push(self, key, value):
        """Take an XCom."""


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


def looks(data_asset_id, **arguments):
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
def test_what_is_wrong_is_told_when_the_dag_is_parsed(arguments, message):
    with pytest.raises(ValueError, match=message):
        sensor(**{"data_asset_id": "a1"} | arguments)


def test_any_transfer_counts_where_nothing_is_known_of_the_time_before(asset_id, transfer):
    assert not looks(asset_id).is_done
    transfer("CODEOCEAN_ARCHIVE_BUCKET")
    seen = looks(asset_id, last_transferred="None", transfer_error="None")  # as templates render None
    assert seen.is_done
    assert seen.xcom_value["id"] == asset_id


def test_an_earlier_transfer_does_not_count(asset_id, transfer):
    transfer("CODEOCEAN_ARCHIVE_BUCKET")
    with CodeOceanHook().get_conn() as client:
        moved = client.data_assets.get(asset_id).last_transferred
    assert not looks(asset_id, last_transferred=str(moved)).is_done


def test_it_says_how_a_transfer_failed(asset_id, transfer):
    before = transfer("no such")
    with pytest.raises(
        AirflowFailException, match=rf"The transfer of data asset {asset_id} failed: .*no-such"
    ):
        looks(asset_id, **before)


def test_its_trigger_knows_what_was_before():
    waiting = sensor("a1", last_transferred="7.5", transfer_error="no such bucket")
    assert waiting.new_trigger(5.0, 9.0).serialize()[1] == {
        "data_asset_id": "a1",
        "last_transferred": 7.5,
        "transfer_error": "no such bucket",
        "codeocean_conn_id": "codeocean_default",
        "poll_interval": 5.0,
        "deadline": 9.0,
        "completion": None,
    }
