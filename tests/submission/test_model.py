"""The protocol holds in the model, and the model finds what is wrong with three others."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer
from airflow_provider_codeocean.emulator.domain.clock import ManualClock
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.submission.commands import FindResult
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt
from tests.sampling import examples
from tests.submission.computation_model import ComputationSubmissionModel
from tests.submission.protocol_model import SubmissionModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.submission.commands import Command, SubmissionRecord

pytestmark = pytest.mark.timeout(600)  # ten seconds, on a machine that is not busy

# The same examples each time, where the same modules are imported.
EXAMPLES = settings(
    max_examples=examples(150),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
# A bug that was planted needs no shorter example. Which examples there are depends on what is imported.
UNSHRUNK = settings(EXAMPLES, max_examples=1000, phases=[Phase.generate])


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    logging.disable()  # a line for each of some hundred thousand requests
    with EmulatorServer(EmulatorConfig(), clock=ManualClock(1_800_000_000.0)) as server:
        SubmissionModel.server = server
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.quick
@pytest.mark.long
@pytest.mark.fault("A8")
@pytest.mark.fault("A12")
@pytest.mark.fault("A13")
@pytest.mark.fault("B5")
def test_model_of_data_asset_submission_finds_no_duplicate():
    run_state_machine_as_test(SubmissionModel, settings=EXAMPLES)


@pytest.mark.quick
@pytest.mark.long
def test_model_of_computation_submission_finds_no_duplicate():
    run_state_machine_as_test(ComputationSubmissionModel, settings=EXAMPLES)


def test_model_without_search_for_unnamed_jobs_finds_duplicates(monkeypatch):
    search = protocol.SubmitOnce._search
    marked = lambda self, keys, until, _=None: search(self, keys, until)  # noqa: E731
    monkeypatch.setattr(protocol.SubmitOnce, "_search", marked)
    with pytest.raises(AssertionError, match="data assets of one capture"):
        run_state_machine_as_test(ComputationSubmissionModel, settings=UNSHRUNK)


class WithoutIntent(SubmissionModel):
    """Remembers what it has made, but not that it is about to; and no retry suspects anything."""

    def _save_record(self, intent: SubmissionRecord) -> None:
        if intent.external_id:
            super()._save_record(intent)

    def build_attempt(self, number: int) -> TaskAttempt:
        return TaskAttempt("dag", self.task.run_id, "task", -1, 1)


class KeyWithTheTryNumber(SubmissionModel):
    """Derives the key from the try number, too."""

    def build_keys(self, attempt: TaskAttempt) -> IdempotencyKeys:
        keys = super().build_keys(attempt)
        return IdempotencyKeys(f"{keys.current}{attempt.try_number}", keys.previous)


class WithoutPatience(ComputationSubmissionModel):
    """Takes what has no key for its own before who has made it can have marked it."""

    naming_deadline = 10.0


class WithoutASecondLook(ComputationSubmissionModel):
    """Goes on with what it has taken for its own, whoever marks it afterwards."""

    def is_own(self, asset: DataAsset, keys: IdempotencyKeys) -> bool:
        return True


@pytest.mark.long
@pytest.mark.parametrize("mutant", [WithoutPatience, WithoutASecondLook])
def test_model_without_naming_checks_finds_foreign_job(mutant):
    with pytest.raises(AssertionError, match="the task ends with a rival's"):
        run_state_machine_as_test(mutant, settings=UNSHRUNK)


class WithoutRipening(ComputationSubmissionModel):
    """Makes another one while one is there that may turn out to be its own."""

    def _execute(self, command: Command) -> Any:
        answer = super()._execute(command)
        return msgspec.structs.replace(answer, adoptable_at=0.0) if isinstance(answer, FindResult) else answer


@pytest.mark.long
@pytest.mark.parametrize("mutant", [WithoutIntent, KeyWithTheTryNumber, WithoutRipening])
def test_model_with_planted_bug_finds_duplicates(mutant):
    with pytest.raises(AssertionError, match="data assets of one capture"):
        run_state_machine_as_test(mutant, settings=UNSHRUNK)


class WithRunFromRetries(SubmissionModel):
    """Derives the run of the task from the retries in the DAG file."""

    def build_attempt(self, number: int) -> TaskAttempt:
        attempt = super().build_attempt(number)
        return replace(attempt, max_tries=max(0, attempt.max_tries - self.task.retries))


@pytest.mark.long
def test_model_of_run_from_edited_retries_finds_duplicates():
    with pytest.raises(AssertionError, match="data assets of one capture"):
        run_state_machine_as_test(WithRunFromRetries, settings=UNSHRUNK)


@pytest.mark.long
def test_model_without_not_found_grace_period_finds_duplicates(monkeypatch):
    monkeypatch.setattr(protocol, "NOT_FOUND_GRACE_SECONDS", 0.0)
    with pytest.raises(AssertionError, match="data assets of one capture"):
        run_state_machine_as_test(SubmissionModel, settings=UNSHRUNK)


@pytest.mark.long
def test_model_without_warning_of_dropped_tags_finds_duplicates():
    class WithoutWarning(SubmissionModel):
        def _respond(self, attempt: Any, asset: DataAsset) -> None:
            self._send_result(attempt, asset)

    with pytest.raises(AssertionError, match="data assets of one capture"):
        run_state_machine_as_test(WithoutWarning, settings=UNSHRUNK)


@pytest.mark.long
def test_model_without_search_lag_finds_duplicates(monkeypatch):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.0)
    with pytest.raises(AssertionError, match="data assets of one capture"):
        run_state_machine_as_test(SubmissionModel, settings=UNSHRUNK)
