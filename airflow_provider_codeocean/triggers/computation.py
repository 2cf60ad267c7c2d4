"""The wait for a computation, in the triggerer."""

from __future__ import annotations

from typing import Any

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.wait import ComputationWait
from airflow_provider_codeocean.triggers.base import CodeOceanWaitTriggerBase


class CodeOceanComputationTrigger(CodeOceanWaitTriggerBase):
    """Wait until a computation has succeeded or failed.

    Its event is a :class:`~airflow_provider_codeocean.states.ComputationEvent`. What all triggers that wait
    have in common: :class:`~airflow_provider_codeocean.triggers.base.CodeOceanWaitTriggerBase`.

    :param computation_id: id of the computation.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: the most seconds between two looks, above 0.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    """

    def __init__(
        self,
        computation_id: str,
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 60.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(codeocean_conn_id=codeocean_conn_id, poll_interval=poll_interval, deadline=deadline)
        self.computation_id = computation_id

    def new_wait(self) -> ComputationWait:
        """Make the wait."""
        return ComputationWait(self.computation_id, poll_interval=self.poll_interval, deadline=self.deadline)

    def about(self) -> dict[str, Any]:
        """Return what the event says of what was waited for, as JSON values."""
        return {"computation_id": self.computation_id}

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, as JSON values."""
        return {"computation_id": self.computation_id}
