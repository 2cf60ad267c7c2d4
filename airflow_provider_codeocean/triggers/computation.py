"""Trigger that waits for a computation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_codeocean.deletion import computation_deletion
from airflow_provider_codeocean.polling.waits import ComputationWait
from airflow_provider_codeocean.triggers._on_kill import CodeOceanJobTriggerBase

if TYPE_CHECKING:
    from airflow_provider_codeocean.deletion import DeletionProcedure


class CodeOceanComputationTrigger(CodeOceanJobTriggerBase):
    """Wait until a computation has succeeded or failed.

    Its event is a :class:`~airflow_provider_codeocean.outcomes.ComputationEvent`.

    :param computation_id: id of the computation.
    :param max_run_time: maximum of the run time that Code Ocean reports, in seconds; None for no limit.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.triggers._on_kill.CodeOceanJobTriggerBase`.
    """

    def __init__(self, computation_id: str, *, max_run_time: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        self.max_run_time = max_run_time

    @override
    def build_wait(self) -> ComputationWait:
        return ComputationWait(
            self.computation_id,
            submitted_at=self.submitted_at,
            max_run_time=self.max_run_time,
            **self.wait_options,
        )

    @override
    def trigger_kwargs(self) -> dict[str, Any]:
        limit = {} if self.max_run_time is None else {"max_run_time": self.max_run_time}
        return super().trigger_kwargs() | limit

    @override
    def event_fields(self) -> dict[str, Any]:
        return {"computation_id": self.computation_id}

    @override
    def build_deletion(self) -> DeletionProcedure:
        return computation_deletion(self.computation_id, only_if_pending=True, submitted_at=self.submitted_at)
