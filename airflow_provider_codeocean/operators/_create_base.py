"""What all operators that create a data asset have in common."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage.mixins import AnnouncesDataAsset
from airflow_provider_codeocean.lineage.model import of_creation
from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.operators._submit_once.data_asset import DataAssetJob
from airflow_provider_codeocean.operators._submit_once.operator import CodeOceanMakeOnceBase
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from airflow_provider_codeocean.validation import ReadField, as_rendered, is_given, mount_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams


class CodeOceanCreateDataAssetBase(ShowsDataAsset, AnnouncesDataAsset, CodeOceanMakeOnceBase):
    """Create a data asset once, wait until it is ready, and return it.

    A subclass defines the data asset in :meth:`data_asset_params`. The result, in XCom, is the data asset
    with the fields of Code Ocean's API (``id``, ``state``, ``size``, ``files``, ``provenance`` …) and the
    address of its page as ``url``. The id is in the XCom ``data_asset_id`` as soon as it is known.

    However often the task is killed and retried, it leaves one data asset, which carries the idempotency key
    as a tag. A failed data asset is never adopted, and fails the task permanently.

    :param name: display name of the data asset. (templated)
    :param mount: default mount folder: the name of one folder, without spaces; if not given, the name of the
        data asset with underscores for spaces and slashes. (templated)
    :param tags: tags, each not empty. (templated)
    :param description: free text. (templated)
    :param custom_metadata: values of the deployment's custom fields: strings, numbers, and dates as times
        with a zone or in Unix seconds; they are checked against these fields first. (templated)
    :param **kwargs: the arguments of every operator that submits a job: see
        :class:`~airflow_provider_codeocean.operators._submit_once.operator.CodeOceanMakeOnceBase`.
    """

    template_fields: Sequence[str] = (
        "name",
        "mount",
        "tags",
        "description",
        "custom_metadata",
        *CodeOceanMakeOnceBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"custom_metadata": "json"}
    job_type = DataAssetJob
    wait_type = DataAssetWait
    external_id_key = "data_asset_id"
    capsule_id: str | None = None

    def __init__(
        self,
        *,
        name: str,
        mount: str | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
        custom_metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.mount = mount
        self.tags = tags
        self.description = description
        self.custom_metadata = custom_metadata

    @abstractmethod
    def data_asset_params(self, read: ReadField = as_rendered) -> DataAssetParams:
        """Build what to create.

        :param read: reads the value of a template field; a constructor passes ``known_now`` to check, as
            early as it can, what is known before templates are rendered.
        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """

    def described(self, read: ReadField) -> dict[str, Any]:
        """Return what describes the data asset, for its parameters.

        :param read: reads the value of a template field.
        :returns: the values.
        """
        name, tags = read(self.name), read(self.tags)
        return {
            "name": name,
            "mount": mount_of(name, read(self.mount)),
            "tags": tags if is_given(tags) else [],
            "description": read(self.description),
            "custom_metadata": read(self.custom_metadata),
        }

    def build_params(self) -> DataAssetParams:
        """Build the parameters of the data asset; see the base class."""
        return self.data_asset_params()

    def subject(self, params: DataAssetParams) -> dict[str, Any]:
        """Return the source and the target; see the base class."""
        return params.model_dump(
            mode="json",
            include={"source", "target", "data_asset_ids"},
            exclude={"source": {"gcp": {"client_id", "client_secret"}}},
            exclude_none=True,
        )

    def checked_by_server(self, params: DataAssetParams) -> DataAssetParams:
        """Check custom metadata against the deployment's fields; see the base class."""
        if params.custom_metadata is None:
            return params
        from airflow_provider_codeocean.custom_metadata import checked_with

        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            values = checked_with(client, params.to_json()["custom_metadata"], whole=True)
        return params.model_copy(update={"custom_metadata": values})

    def tell(self, context: Context, job: DataAsset, *, done: bool) -> None:
        """Announce it to the task's outlets, and report its sources; see the base class."""
        self.announce(context, self.deployment, job, done=done, capsule_id=self.capsule_id)
        self.tell_lineage(partial(of_creation, self.deployment, job, self.capsule_id))

    def new_trigger(
        self, external_id: str, deadline: float, submitted_at: float
    ) -> CodeOceanDataAssetTrigger:
        """Return the trigger that waits; see the base class."""
        return CodeOceanDataAssetTrigger(
            data_asset_id=external_id,
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            on_kill=self.when_killed,
            submitted_at=submitted_at,
        )

    def show(self, context: Context, deployment: str, external_id: str) -> str:
        """Link to it in the UI; see the base class."""
        return self.show_data_asset(context, deployment, external_id)
