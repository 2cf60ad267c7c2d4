"""The capture protocol, carried out on the emulator."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.errors import CodeOceanError, Forbidden, ServerError
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once.data_asset import DataAssetJob
from airflow_provider_codeocean.operators._submit_once.runner import STATE_KEY, attempt_of
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.submission.commands import Delete, SaveRecord, SubmissionRecord
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt
from airflow_provider_codeocean.submission.protocol import SubmitOnce

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
    monkeypatch.setattr(protocol, "SETTLE", 0.2)
    monkeypatch.setattr(protocol, "VISIBILITY_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_FIRST_PAUSE", 0.05)


@pytest.fixture
def params(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    return DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": ["a"], "source": source})


def capturing(try_number=1, state=None, go_on=lambda: None, asked=None):
    protocol = SubmitOnce(
        TaskAttempt("d", "r", "t", -1, try_number),
        IdempotencyKeys(KEY),
        has_durable_state=state is not None,
        is_usable=bool,
    )
    return DataAssetJob(CodeOceanHook(), protocol, asked, state=state, go_on=go_on, overtaken=lambda: False)


def another_computation(code_ocean):
    with CodeOceanHook().get_conn() as client:
        return client.computations.run(RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"])).id


def count(code_ocean):
    return sum(KEY in asset.tags for asset in code_ocean.store.data_assets.all())


def test_attempt_of_includes_namespace_and_clears(monkeypatch):
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=None, max_tries=2, try_number=4)
    attempt = TaskAttempt("d", "r", "t", -1, try_number=4, max_tries=2)
    assert attempt_of({"ti": ti}, retries=2) == attempt
    assert attempt_of({"ti": ti}, retries=0) == replace(attempt, was_cleared=True)
    monkeypatch.setenv("AIRFLOW__CODEOCEAN__NAMESPACE", "production")
    assert attempt_of({"ti": ti}, retries=2) == replace(attempt, namespace="production")


def test_what_is_made_carries_the_key_and_is_remembered(code_ocean, params):
    state = State()
    mine = capturing(state=state, asked=params)
    made = mine.start().job
    assert made.tags == ["a", KEY]
    assert mine.job == made
    assert state[STATE_KEY]["external_id"] == made.id


@pytest.mark.parametrize("durable", [True, False])
def test_a_retry_goes_on_with_it(code_ocean, params, durable):
    state = State() if durable else None
    made = capturing(1, state, asked=params).start().job
    again = capturing(2, state, asked=params).start()
    assert (again.job.id, again.adopted) == (made.id, True)
    assert capturing(2, state, asked=params).confirm(again).id == made.id
    assert count(code_ocean) == 1


def test_a_retry_goes_on_with_what_has_been_archived_meanwhile(code_ocean, params):
    made = capturing(1, asked=params).start().job
    with CodeOceanHook().get_conn() as client:
        client.data_assets.archive(made.id)
    assert capturing(2, asked=params).start().job.id == made.id


@pytest.mark.parametrize("kind", ["close_after", "half_body", "empty", "invalid_json"])
def test_a_lost_answer_is_looked_for(code_ocean, params, kind, caplog):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind=kind))
    with caplog.at_level(logging.INFO):
        capture = capturing(asked=params).start()
    assert "Whether the data asset was submitted is not known" in caplog.text
    assert capture.adopted
    assert count(code_ocean) == 1


@pytest.mark.parametrize(("method", "path"), [("POST", "data_assets/search"), ("GET", "data_assets/*")])
def test_a_look_that_fails_in_passing_is_made_up_for_by_the_next(code_ocean, params, method, path):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    fault = code_ocean.faults.add(FaultRule(method=method, path=path, kind="status", status=500))
    assert capturing(asked=params).start().adopted
    assert fault.hits == 1
    assert count(code_ocean) == 1


def test_the_last_look_has_to_succeed(code_ocean, params):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    code_ocean.faults.add(
        FaultRule(method="POST", path="data_assets/search", kind="status", status=500, times=None)
    )
    with pytest.raises(ServerError):
        capturing(asked=params).start()
    assert count(code_ocean) == 1


def test_who_may_not_look_is_told_at_once(code_ocean, params):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets/search", kind="status", status=403))
    with pytest.raises(Forbidden):
        capturing(asked=params).start()


def test_a_request_that_did_nothing_is_sent_again(code_ocean, params):
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_before"))
    mine = capturing(asked=params)
    begun = mine.start()
    assert not begun.adopted
    assert begun.recheck_at > 0
    assert mine.confirm(begun).id == begun.job.id
    assert count(code_ocean) == 1


def test_an_adopted_one_may_be_called_otherwise(code_ocean, params, caplog):
    capturing(1, asked=params).start()
    renamed = params.model_copy(update={"name": "another", "tags": ["b"]})
    capturing(2, asked=renamed).start()
    assert " was submitted with name 'n' instead of 'another', tags ['a'] instead of ['b'], which stays" in (
        caplog.text
    )


def test_of_two_the_oldest_stays(code_ocean, params, caplog):
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
def test_what_has_a_copied_tag_is_neither_taken_nor_removed(code_ocean, params, made_of, caplog):
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
    assert f"Data assets with this task's key, but made of something else: {other.id}" in caplog.text
    with CodeOceanHook().get_conn() as client:
        assert client.data_assets.get(other.id).id == other.id
        client.data_assets.delete(first.id)
    assert not capturing(2, asked=params).start().adopted


def test_what_is_made_does_not_carry_the_tag_of_another_capture(code_ocean, params):
    copied = params.model_copy(update={"tags": ["a", "airflow" + "f" * 32]})
    assert capturing(asked=copied).start().job.tags == ["a", KEY]


def test_a_server_that_does_not_tell_what_it_was_made_of_is_believed(code_ocean, params):
    code_ocean.emulator.config = code_ocean.emulator.config.model_copy(update={"payload_style": "2.x"})
    made = capturing(1, asked=params).start().job
    assert capturing(2, asked=params).start().job.id == made.id


def test_find_replacement_returns_other_job_with_the_key(code_ocean, params):
    mine = capturing(asked=params)
    assert mine.find_replacement() is None
    made = capturing(asked=params).start().job
    assert mine.find_replacement().job.id == made.id


def test_an_intent_that_cannot_be_remembered_ends_it_before_anything_is_made(code_ocean, params):
    with pytest.raises(OSError, match="supervisor is gone"):
        capturing(state=BrokenState(), asked=params).start()
    assert count(code_ocean) == 0


def test_an_id_that_cannot_be_remembered_does_not(caplog):
    capturing(state=BrokenState())._do(None, SaveRecord(SubmissionRecord(KEY, 0.0, "a1")))
    assert "Could not save the id of data asset a1: the supervisor is gone" in caplog.text


def test_one_that_cannot_be_removed_is_named(code_ocean, caplog):
    code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=403, times=None))
    with CodeOceanHook().get_conn() as client:
        capturing()._do(client, Delete("a1", instead="a2"))
    assert "Data asset a1 is a duplicate and could not be deleted: " in caplog.text


def test_a_killed_task_goes_no_further(code_ocean, params):
    def stop():
        raise CodeOceanError("killed")

    with pytest.raises(CodeOceanError, match="killed"):
        capturing(go_on=stop, asked=params).start()
    assert count(code_ocean) == 0
