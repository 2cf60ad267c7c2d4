"""Base classes of operators on one data asset, and the check that a change took effect."""

from __future__ import annotations

from abc import abstractmethod
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_codeocean.airflow_errors import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.validation import KnowsTemplates, check_identifier, check_identifier_early

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient

T = TypeVar("T")

#: Seconds before each read that verifies a change: a server may show it late.
_PAUSES = (0, 1, 2, 4, 8)


class CodeOceanOneDataAssetBase(ShowsDataAsset, KnowsTemplates, BaseOperator):
    """Base of operators on one existing data asset.

    An error that a retry cannot fix (invalid input, no such data asset, no permission) fails the task
    permanently. All other errors keep its retries.

    :param data_asset_id: id of the data asset. (templated)
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: arguments of Airflow's ``BaseOperator``.
    """

    template_fields: Sequence[str] = ("data_asset_id", "codeocean_conn_id")

    def __init__(
        self,
        *,
        data_asset_id: str,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        check_identifier_early("data_asset_id", data_asset_id)
        self.codeocean_conn_id = codeocean_conn_id


class CodeOceanActOnDataAssetBase(CodeOceanOneDataAssetBase):
    """Base of operators that act at once, and can do so repeatedly without harm.

    A subclass implements :meth:`act`. The arguments are those of :class:`CodeOceanOneDataAssetBase`.
    """

    @abstractmethod
    def act(self, client: CodeOceanClient) -> Any:
        """Do the work.

        :param client: the client.
        :returns: the task's result, as JSON values.
        :raises ValueError: if an argument is invalid, before anything is sent.
        """

    def execute(self, context: Context) -> Any:
        """Do the work, and link the data asset in the UI."""
        self.codeocean_url = ""
        with no_retry_for_what_it_cannot_mend(self):
            self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                self.show_data_asset(context, client.url, self.data_asset_id)
                return self.act(client)


def check_effect(
    client: CodeOceanClient, subject: str, read: Callable[[], T], differences: Callable[[T], list[str]]
) -> T:
    """Check that a change took effect: read its subject for up to 15 seconds until it is as requested.

    :param client: the client that sent the change.
    :param subject: the subject of the change, for the error message.
    :param read: reads the subject.
    :param differences: describes in clauses how it differs from the request.
    :returns: the subject as it was last read.
    :raises AirflowException: if it still differs. A retry may help, so the task keeps its retries.
    """
    for pause in _PAUSES:
        sleep(pause)
        current = read()
        found = differences(current)
        if not found:
            return current
    raise AirflowException(
        f"Code Ocean accepted {subject}, but {sum(_PAUSES)} s later {'; '.join(found)} [{client.server}]"
    )
