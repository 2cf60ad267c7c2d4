"""Attachments are verified by the response."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_codeocean.operators.attachment import CodeOceanAttachDataAssetsOperator


@pytest.fixture
def attach(serve, execute):
    def run(response, data_assets):
        serve(lambda line, body: (200, response))
        return execute(CodeOceanAttachDataAssetsOperator, capsule_id="c1", data_assets=data_assets)

    return run


@pytest.mark.parametrize(
    ("response", "data_assets"),
    [
        ([{"id": "a1", "mount": "raw"}, {"id": "a2", "mount": "m"}], ["a1", {"id": "a2", "mount": "m"}]),
        ([{"id": "A1"}], [{"id": "a1", "mount": "m"}]),
        ([{"id": "other", "mount": "m"}, {"id": "a1", "mount": "x"}], ["a1"]),
    ],
)
def test_attach_of_attached_data_assets_returns_them(attach, response, data_assets):
    attached = attach(response, data_assets)
    assert [attachment["id"] for attachment in attached] == [item["id"] for item in response]


@pytest.mark.parametrize(
    ("response", "clause"),
    [
        ([], "a1 is not attached; a2 is not attached"),
        ([{"id": "a1", "mount": "raw"}], "a2 is not attached"),
        ([{"id": "a1"}, {"id": "a2", "mount": "raw"}], "a2 is mounted at 'raw'"),
    ],
)
def test_attach_missing_from_response_fails(attach, response, clause):
    with pytest.raises(AirflowException) as caught:
        attach(response, ["a1", {"id": "a2", "mount": "m"}])
    assert str(caught.value) == f"Code Ocean accepted the request to attach data assets to c1, but {clause}"
    assert not isinstance(caught.value, AirflowFailException)
