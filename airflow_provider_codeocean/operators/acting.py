"""What operators that are about one data asset have in common, and those of them that act at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_codeocean.arguments import check_identifier, known_now
from airflow_provider_codeocean.failures import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import ShowsDataAsset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient


class CodeOceanOneDataAssetBase(ShowsDataAsset, BaseOperator):
    """Be about one data asset that is there.

    What a retry cannot mend (wrong input, no such data asset, no permission) fails the task for good; a
    server in trouble keeps the task's retries.

    :param data_asset_id: id of the data asset. (templated)
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: what every operator takes.
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
        check_identifier("data_asset_id", known_now(data_asset_id))
        self.codeocean_conn_id = codeocean_conn_id


class CodeOceanActOnDataAssetBase(CodeOceanOneDataAssetBase):
    """Do something with a data asset at once. It can be done again without harm.

    A subclass says what, in :meth:`act`. It takes what :class:`CodeOceanOneDataAssetBase` takes.
    """

    @abstractmethod
    def act(self, client: CodeOceanClient) -> Any:
        """Do it.

        :param client: the client.
        :returns: the task's result, as JSON values.
        :raises ValueError: where an argument is wrong, naming it, before anything is sent.
        """

    def execute(self, context: Context) -> Any:
        """Do it, and show the data asset in the UI."""
        self.codeocean_url = ""
        with no_retry_for_what_it_cannot_mend():
            check_identifier("data_asset_id", self.data_asset_id)
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                self.show_data_asset(context, client.url, self.data_asset_id)
                return self.act(client)
