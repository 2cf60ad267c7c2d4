"""Sensor of a computation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import override

from airflow_provider_codeocean.hooks._output import explain_failure
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.validation import check_choice, check_identifier, check_unrendered_identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_codeocean.api.errors import ComputationFailed
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger


class CodeOceanComputationSensor(CodeOceanWaitSensorBase):
    """Wait until a computation, which is a run of a capsule or pipeline, has succeeded, and return it.

    Source: ``GET computations/{id}``. A computation has succeeded if its state is ``completed``, its end
    status is ``succeeded`` or missing, and its exit code is 0 or missing. If it ends otherwise, the task
    fails permanently.

    The result, in XCom, is the computation with the fields of Code Ocean's API (``id``, ``state``,
    ``has_results``, ``run_time``, and more).

    :param computation_id: id of the computation. (templated)
    :param log_output: whether the last lines of the file ``output`` of a failed computation are logged, and
        some of them are in the error: ``on_failure`` or ``never``.
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.sensors._base.CodeOceanWaitSensorBase`.
    """

    template_fields: Sequence[str] = ("computation_id", *CodeOceanWaitSensorBase.template_fields)
    result_id_key: ClassVar[str] = "computation_id"
    ui_color = "#e8f1fb"

    def __init__(
        self, *, computation_id: str, log_output: Literal["on_failure", "never"] = "on_failure", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_choice("log_output", log_output, ("on_failure", "never"))
        self.log_output: Literal["on_failure", "never"] = log_output
        self.computation_id = computation_id
        check_unrendered_identifier("computation_id", computation_id)
        self.enable_start_from_trigger()

    @property
    @override
    def trigger_class(self) -> type[CodeOceanComputationTrigger]:
        from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger

        return CodeOceanComputationTrigger

    @override
    def explain_failure(self, hook: CodeOceanHook, error: ComputationFailed) -> ComputationFailed:
        return explain_failure(hook, self.computation_id, error, self.log_output)

    @override
    def target_arguments(self) -> dict[str, Any]:
        self.computation_id = check_identifier("computation_id", self.computation_id)
        return {"computation_id": self.computation_id}
