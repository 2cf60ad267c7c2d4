"""Base classes of the operators that do not submit a job, and the check that a change took effect."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_codeocean.airflow_errors import fail_without_retry_on_permanent_errors
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import DataAssetLinkMixin
from airflow_provider_codeocean.validation import (
    TemplateTrackingMixin,
    check_duration,
    check_flags,
    check_identifier,
    check_unrendered_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient

T = TypeVar("T")

#: Seconds before each read that verifies a change: a server may show it late.
_VERIFY_DELAYS_SECONDS = (0, 1, 2, 4, 8)


class CodeOceanOperatorBase(TemplateTrackingMixin, BaseOperator):
    """Base of operators with a connection.

    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: arguments of Airflow's ``BaseOperator``.
    """

    template_fields: Sequence[str] = ("codeocean_conn_id",)
    ui_color = "#e8f1fb"

    def __init__(self, *, codeocean_conn_id: str = CodeOceanHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.codeocean_conn_id = codeocean_conn_id


class CodeOceanWaitOperatorBase(CodeOceanOperatorBase):
    """Base of operators that wait for a result.

    :param wait_for_completion: wait for the result; False returns after the submission.
    :param deferrable: wait in the triggerer instead of in a worker; defaults to Airflow's
        ``[operators] default_deferrable``.
    :param poll_interval: maximum seconds between two polls, above 0. The first polls come sooner.
    :param timeout: how long to wait, in seconds or as a timedelta, above 0. A shorter ``execution_timeout``
        of the task ends the wait as well.
    :param **kwargs: arguments of :class:`CodeOceanOperatorBase`.
    """

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 60.0,
        timeout: float | timedelta = timedelta(days=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_flags(wait_for_completion=wait_for_completion, deferrable=deferrable)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = check_duration("poll_interval", poll_interval)
        self.timeout = check_duration("timeout", timeout)


class CodeOceanActionBase(CodeOceanOperatorBase):
    """Base of operators that complete in a few requests and can safely repeat them.

    A permanent error (invalid input, no permission) fails the task without retries. Other errors keep its
    retries. The arguments are those of :class:`CodeOceanOperatorBase`.
    """

    @abstractmethod
    def perform(self, client: CodeOceanClient) -> Any:
        """Do the work.

        :param client: the client.
        :returns: the task's result, as JSON values.
        :raises ValueError: if an argument is invalid, before anything is sent.
        """

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - the signature of every operator
        """Do the work."""
        with (
            fail_without_retry_on_permanent_errors(self),
            CodeOceanHook(self.codeocean_conn_id).get_conn() as client,
        ):
            return self.perform(client)


class CodeOceanDataAssetActionBase(DataAssetLinkMixin, CodeOceanActionBase):
    """Base of actions on one existing data asset.

    :param data_asset_id: id of the data asset. (templated)
    :param **kwargs: arguments of :class:`CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = ("data_asset_id", *CodeOceanActionBase.template_fields)

    def __init__(self, *, data_asset_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        check_unrendered_identifier("data_asset_id", data_asset_id)

    def execute(self, context: Context) -> Any:
        """Do the work, and link to the data asset in the UI."""
        self.codeocean_url = ""
        with fail_without_retry_on_permanent_errors(self):
            self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                self.set_data_asset_link(context, client.url, self.data_asset_id)
                return self.perform(client)


def verify_change(
    client: CodeOceanClient,
    subject: str,
    read: Callable[[], T],
    describe_differences: Callable[[T], list[str]],
) -> T:
    """Check that a change took effect: read the changed resource for up to 15 seconds.

    :param client: the client that sent the change.
    :param subject: what changed, for the error message.
    :param read: reads the changed resource.
    :param describe_differences: describes, in clauses, how it differs from the request.
    :returns: the resource as it was last read.
    :raises CodeOceanError: if it still differs. A retry may help, so the task keeps its retries.
    """
    for pause in _VERIFY_DELAYS_SECONDS:
        sleep(pause)
        current = read()
        differences = describe_differences(current)
        if not differences:
            return current
    raise CodeOceanError(
        f"Code Ocean accepted {subject}, but {sum(_VERIFY_DELAYS_SECONDS)} s later {'; '.join(differences)} "
        f"[{client.server}]"
    )
