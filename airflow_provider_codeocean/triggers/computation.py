"""The wait for a computation, in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.deletion import removal_of_computation
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.waits import ComputationWait
from airflow_provider_codeocean.triggers._on_kill import CodeOceanOwnWaitTriggerBase

if TYPE_CHECKING:
    from airflow_provider_codeocean.deletion import Removal
    from airflow_provider_codeocean.triggers._base import Completion
    from airflow_provider_codeocean.triggers._on_kill import OnKill


class CodeOceanComputationTrigger(CodeOceanOwnWaitTriggerBase):
    """Wait until a computation has succeeded or failed.

    Its event is a :class:`~airflow_provider_codeocean.outcomes.ComputationEvent`. What all triggers that wait
    have in common: :class:`~airflow_provider_codeocean.triggers._base.CodeOceanWaitTriggerBase`.

    :param computation_id: id of the computation.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: the most seconds between two looks, above 0: a young wait is looked at more often.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    :param on_kill: what becomes of the computation if a user ends the task that waits and the computation is
        not over then: ``leave`` names it in the task's log, ``delete`` stops and deletes it. None where the
        task did not start it.
    :param submitted_at: when the task submitted the computation, in Unix seconds; None if it did not. For
        some minutes after that, Code Ocean's 404 means that it is not visible yet.
    :param completion: how to end the task in the triggerer; see the base class.
    """

    def __init__(
        self,
        computation_id: str,
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 60.0,
        deadline: float | None = None,
        on_kill: OnKill | None = None,
        submitted_at: float | None = None,
        completion: Completion | None = None,
    ) -> None:
        super().__init__(
            codeocean_conn_id=codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
            on_kill=on_kill,
            submitted_at=submitted_at,
            completion=completion,
        )
        self.computation_id = computation_id

    def new_wait(self) -> ComputationWait:
        """Make the wait."""
        return ComputationWait(
            self.computation_id,
            poll_interval=self.poll_interval,
            deadline=self.deadline,
            submitted_at=self.submitted_at,
        )

    def about(self) -> dict[str, Any]:
        """Return what the event says of what was waited for, as JSON values."""
        return {"computation_id": self.computation_id}

    def removal(self) -> Removal:
        """Return the procedure that deletes it, unless it is over by then."""
        return removal_of_computation(self.computation_id, even_if_over=False, submitted_at=self.submitted_at)
