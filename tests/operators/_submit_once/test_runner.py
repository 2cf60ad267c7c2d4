"""The capture protocol, carried out on the emulator."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.errors import CodeOceanError, Forbidden, ServerError
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once.data_asset import DataAssetJob
from airflow_provider_codeocean.operators._submit_once.runner import STATE_KEY, build_task_attempt
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.submission.commands import Delete, SaveRecord, SubmissionRecord
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt

KEY = "airflow0123456789abcdef0123456789abcdef"


class State(dict):
    """A durable state."""

    def set(self, key, value):
        self[key] = value


class BrokenState(State):
    def set(self, key, value):
        raise OSError("the supervisor is gone")


@pytest.fixture(autouse=True)
def no_time(monkeypatch):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "NOT_FOUND_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_INITIAL_DELAY_SECONDS", 0.05)


@pytest.fixture
def params(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    return DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": ["a"], "source": source})


def capturing(try_number=1, state=None, killed=None, asked=None):
    return DataAssetJob(
        CodeOceanHook(),
        TaskAttempt("d", "r", "t", -1, try_number),
        IdempotencyKeys(KEY),
        asked,
        context={"task_state_store": state},
        killed=killed,
    )


def another_computation(code_ocean):
    with CodeOceanHook().get_conn() as client:
        return client.computations.run(RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"])).id


def count(code_ocean):
    return sum(KEY in asset.tags for asset in code_ocean.store.data_assets.all())


def test_build_task_attempt_includes_namespace_and_clearing(monkeypatch):
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=None, max_tries=2, try_number=4)
    attempt = TaskAttempt("d", "r", "t", -1, try_number=4, max_tries=2)
    assert build_task_attempt({"ti": ti}, retries=2) == attempt
    assert build_task_attempt({"ti": ti}, retries=0) == replace(attempt, was_cleared=True)
    monkeypatch.setenv("AIRFLOW__CODEOCEAN__NAMESPACE", "production")
    assert build_task_attempt({"ti": ti}, retries=2) == replace(attempt, namespace="production")


def test_start_appends_key_tag_and_saves_external_id(code_ocean, params):
    state = State()
    mine = capturing(state=state, asked=params)
    made = mine.start().job
    assert made.tags == ["a", KEY]
    assert mine.job == made
    assert state[STATE_KEY]["external_id"] == made.id


@pytest.mark.parametrize("durable", [True, False])
def test_start_on_retry_adopts_data_asset(code_ocean, params, durable):
    state = State() if durable else None
    made = capturing(1, state, asked=params).start().job
    again = capturing(2, state, asked=params).start()
    assert (again.job.id, again.adopted) == (made.id, True)
    assert capturing(2, state, asked=params).confirm(again).id == made.id
    assert count(code_ocean) == 1


def test_start_on_retry_adopts_archived_data_asset(code_ocean, params):
    made = capturing(1, asked=params).start().job
    with CodeOceanHook().get_conn() as client:
        client.data_assets.archive(made.id)
    assert capturing(2, asked=params).start().job.id == made.id


@pytest.mark.parametrize("kind", ["close_after", "half_body", "empty", "invalid_json"])
def test_start_with_lost_response_adopts_data_asset(code_ocean, params, kind, caplog):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind=kind))
    with caplog.at_level(logging.INFO):
        capture = capturing(asked=params).start()
    assert "Whether the data asset was submitted is not known" in caplog.text
    assert capture.adopted
    assert count(code_ocean) == 1


@pytest.mark.parametrize(("method", "path"), [("POST", "data_assets/search"), ("GET", "data_assets/*")])
def test_start_with_one_failed_search_adopts_on_next_search(code_ocean, params, method, path):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    fault = code_ocean.faults.add(FaultRule(method=method, path=path, kind="status", status=500))
    assert capturing(asked=params).start().adopted
    assert fault.hits == 1
    assert count(code_ocean) == 1


def test_start_with_failing_searches_raises_server_error(code_ocean, params):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    code_ocean.faults.add(
        FaultRule(method="POST", path="data_assets/search", kind="status", status=500, times=None)
    )
    with pytest.raises(ServerError):
        capturing(asked=params).start()
    assert count(code_ocean) == 1


def test_start_with_forbidden_search_raises_forbidden(code_ocean, params):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets/search", kind="status", status=403))
    with pytest.raises(Forbidden):
        capturing(asked=params).start()


def test_start_with_request_not_applied_resends_it(code_ocean, params):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_before"))
    mine = capturing(asked=params)
    begun = mine.start()
    assert not begun.adopted
    assert begun.recheck_at > 0
    assert mine.confirm(begun).id == begun.job.id
    assert count(code_ocean) == 1


def test_start_on_retry_with_changed_params_logs_kept_values(code_ocean, params, caplog):
    capturing(1, asked=params).start()
    renamed = params.model_copy(update={"name": "another", "tags": ["b"]})
    capturing(2, asked=renamed).start()
    assert " was submitted with name 'n' instead of 'another', tags ['a'] instead of ['b'], which stays" in (
        caplog.text
    )


def test_confirm_with_duplicate_keeps_oldest(code_ocean, params, caplog):
    first, second = capturing(1, asked=params).start(), None
    with CodeOceanHook().get_conn() as client:  # what a process made that was taken for dead
        second = client.data_assets.create(params.model_copy(update={"tags": [KEY]}))
    first_made = code_ocean.store.data_assets.get(first.job.id)
    code_ocean.store.data_assets.put(type(first_made)(**vars(first_made) | {"created": 1.0}))
    retry = capturing(3, asked=params)
    begun = retry.start()
    assert begun.job.id == first.job.id
    assert retry.confirm(begun).id == first.job.id
    assert f"{first.job.id} stays, {second.id} is deleted" in caplog.text
    assert count(code_ocean) == 1


@pytest.mark.parametrize("made_of", ["another computation", "data assets"])
def test_confirm_with_key_tag_on_other_data_asset_leaves_it(code_ocean, params, made_of, caplog):
    """A data asset that somebody has made with the tags of a captured one, before the task was cleared."""
    first = capturing(1, asked=params).start().job
    of = {
        "another computation": {"source": {"computation": {"id": another_computation(code_ocean)}}},
        "data assets": {"data_asset_ids": [code_ocean.env["CODEOCEAN_DATA_ASSET_ID"]]},
    }
    derived = DataAssetParams.model_validate({"name": "d", "mount": "d", "tags": first.tags} | of[made_of])
    with CodeOceanHook().get_conn() as client:
        other = client.data_assets.create(derived)
    cleared = capturing(2, asked=params)
    begun = cleared.start()
    assert cleared.confirm(begun).id == begun.job.id == first.id
    assert f"Ignoring data assets with this task's key but another source: {other.id}" in caplog.text
    with CodeOceanHook().get_conn() as client:
        assert client.data_assets.get(other.id).id == other.id
        client.data_assets.delete(first.id)
    assert not capturing(2, asked=params).start().adopted


def test_start_with_foreign_key_tag_drops_it(code_ocean, params):
    copied = params.model_copy(update={"tags": ["a", "airflow" + "f" * 32]})
    assert capturing(asked=copied).start().job.tags == ["a", KEY]


def test_start_on_retry_without_provenance_adopts_data_asset(code_ocean, params):
    code_ocean.emulator.config = code_ocean.emulator.config.model_copy(update={"payload_style": "2.x"})
    made = capturing(1, asked=params).start().job
    assert capturing(2, asked=params).start().job.id == made.id


def test_find_replacement_returns_other_job_with_key(code_ocean, params):
    mine = capturing(asked=params)
    assert mine.find_replacement() is None
    made = capturing(asked=params).start().job
    assert mine.find_replacement().job.id == made.id


def test_start_with_unsaved_intent_raises_before_submission(code_ocean, params):
    with pytest.raises(OSError, match="supervisor is gone"):
        capturing(state=BrokenState(), asked=params).start()
    assert count(code_ocean) == 0


def test_save_record_with_unsaved_external_id_logs_it(caplog):
    capturing(state=BrokenState())._execute_command(None, SaveRecord(SubmissionRecord(KEY, 0.0, "a1")))
    assert "Could not save the id of data asset a1: the supervisor is gone" in caplog.text


def test_delete_duplicate_with_error_logs_its_id(code_ocean, caplog):
    code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=403, times=None))
    with CodeOceanHook().get_conn() as client:
        capturing()._execute_command(client, Delete("a1", kept_id="a2"))
    assert "Data asset a1 is a duplicate and could not be deleted: " in caplog.text


def test_start_of_killed_task_submits_nothing(code_ocean, params):
    killed = threading.Event()
    killed.set()
    with pytest.raises(CodeOceanError, match="killed"):
        capturing(killed=killed, asked=params).start()
    assert count(code_ocean) == 0
