"""Sensors of computations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.polling.waits import ComputationWait
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger
from airflow_provider_codeocean.validation import check_identifier, check_identifier_early

if TYPE_CHECKING:
    from collections.abc import Sequence


class CodeOceanComputationSensor(CodeOceanWaitSensorBase):
    """Wait until a computation, a run of a capsule or pipeline, has succeeded, and return it.

    Source: ``GET computations/{id}``. It has succeeded where it is ``completed``, with the end status
    ``succeeded`` and the exit code 0, or without these; where it ended otherwise, the task fails for good and
    says how.

    The result, in XCom, is the computation with the fields of Code Ocean's API (``id``, ``state``,
    ``has_results``, ``run_time`` …).

    :param computation_id: id of the computation. (templated)
    :param **kwargs: what every sensor that waits for one thing takes: see
        :class:`~airflow_provider_codeocean.sensors._base.CodeOceanWaitSensorBase`.
    """

    template_fields: Sequence[str] = ("computation_id", *CodeOceanWaitSensorBase.template_fields)
    ui_color = "#e8f1fb"
    returns_id_of: ClassVar[str] = "computation_id"

    def __init__(self, *, computation_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        check_identifier_early("computation_id", computation_id)
        self.start_as_asked_for()

    def new_wait(self, poll_interval: float) -> ComputationWait:
        """Make the wait, without a deadline; see the base class."""
        self.computation_id = check_identifier("computation_id", self.computation_id)
        return ComputationWait(self.computation_id, poll_interval=poll_interval, deadline=None)

    def new_trigger(self, poll_interval: float, deadline: float) -> CodeOceanComputationTrigger:
        """Make the trigger that waits; see the base class."""
        return CodeOceanComputationTrigger(
            check_identifier("computation_id", self.computation_id),
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )
