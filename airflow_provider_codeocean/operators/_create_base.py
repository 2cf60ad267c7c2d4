"""Base class of the operators that create a data asset."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from airflow_provider_codeocean.lineage.mixins import AssetEventMixin
from airflow_provider_codeocean.links import DataAssetLinkMixin
from airflow_provider_codeocean.operators._submit_once.operator import CodeOceanSubmitOnceBase
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.validation import FieldReader, has_value, rendered_value, resolve_mount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.operators._submit_once.data_asset import DataAssetJob
    from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger


class CodeOceanCreateDataAssetBase(DataAssetLinkMixin, AssetEventMixin, CodeOceanSubmitOnceBase):
    """Create a data asset once, wait until it is ready, and return it.

    The result, in XCom, is the data asset with the fields of Code Ocean's API (``id``, ``state``, ``size``,
    ``files``, ``provenance`` …) and the address of its page as ``url``. The id is in the XCom
    ``data_asset_id`` as soon as it is known.

    However often the task is killed and retried, it leaves one data asset, which has the idempotency key as a
    tag. A failed data asset is never adopted, and fails the task without retries.

    :param name: display name of the data asset. (templated)
    :param mount: default mount folder: one folder name, without spaces; by default, the name of the data
        asset with underscores instead of spaces and slashes. (templated)
    :param tags: tags, not empty. (templated)
    :param description: free text. (templated)
    :param custom_metadata: values of the deployment's custom fields: strings, numbers, and dates (times with
        a zone, or Unix seconds). They are checked before the data asset is created. (templated)
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._submit_once.operator.CodeOceanSubmitOnceBase`.
    """

    template_fields: Sequence[str] = (
        "name",
        "mount",
        "tags",
        "description",
        "custom_metadata",
        *CodeOceanSubmitOnceBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"custom_metadata": "json"}
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

    @property
    @override
    def job_type(self) -> type[DataAssetJob]:
        from airflow_provider_codeocean.operators._submit_once.data_asset import DataAssetJob

        return DataAssetJob

    @property
    @override
    def trigger_type(self) -> type[CodeOceanDataAssetTrigger]:
        from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger

        return CodeOceanDataAssetTrigger

    @abstractmethod
    def build_data_asset_params(self, read_field: FieldReader = rendered_value) -> DataAssetParams:
        """Build the parameters of the data asset; raise ValueError if an argument is invalid.

        A constructor passes :func:`.static_value` to check values before templates are rendered.
        """

    def description_fields(self, read_field: FieldReader) -> dict[str, Any]:
        """Return the parameters that every data asset has."""
        name, tags = read_field(self.name), read_field(self.tags)
        return {
            "name": name,
            "mount": resolve_mount(name, read_field(self.mount)),
            "tags": tags if has_value(tags) else [],
            "description": read_field(self.description),
            "custom_metadata": read_field(self.custom_metadata),
        }

    @override
    def build_params(self) -> DataAssetParams:
        return self.build_data_asset_params()

    @override
    def job_identity(self, params: DataAssetParams) -> dict[str, Any]:
        return params.model_dump(
            mode="json",
            include={"source", "target", "data_asset_ids"},
            exclude={"source": {"gcp": {"client_id", "client_secret"}}},
            exclude_none=True,
        )

    @override
    def validate_against_server(self, params: DataAssetParams, hook: CodeOceanHook) -> DataAssetParams:
        if params.custom_metadata is None:
            return params
        from airflow_provider_codeocean.custom_metadata import validate_with_schema

        with hook.open_client() as client:
            values = validate_with_schema(client, params.to_json()["custom_metadata"], require_all=True)
        return params.model_copy(update={"custom_metadata": values})

    @override
    def record_outputs(self, context: Context, job: DataAsset, *, has_succeeded: bool) -> None:
        from airflow_provider_codeocean.lineage.model import creation_lineage

        self.add_asset_event(
            context, self.deployment_url, job, has_succeeded=has_succeeded, capsule_id=self.capsule_id
        )
        self.set_lineage(partial(creation_lineage, self.deployment_url, job, self.capsule_id))

    @override
    def set_link(self, context: Context, hook: CodeOceanHook, external_id: str) -> str:
        return self.set_data_asset_link(context, self.deployment_url, external_id)
