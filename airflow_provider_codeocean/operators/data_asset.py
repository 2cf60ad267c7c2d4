"""Operators on data assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.arguments import ReadField, as_rendered, checked, known_now
from airflow_provider_codeocean.operators.base import CodeOceanCreateDataAssetBase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams

#: Where the arguments of a capture are found in the request.
_ARGUMENTS = {
    "source.computation.id": "computation_id",
    "source.computation.path": "path",
    "target.aws": "target",
}


class CodeOceanCaptureResultOperator(CodeOceanCreateDataAssetBase):
    """Capture the results of a finished computation as a data asset.

    Source: ``POST data_assets``, user guide "Create a data asset" (source ``computation``).

    :param computation_id: id of the computation. (templated)
    :param name: display name of the data asset. (templated)
    :param path: file or folder among the results to capture; empty captures all of them. (templated)
    :param mount: folder that the data asset is mounted at if nothing else is said; if not given, its name.
        (templated)
    :param tags: tags, each not empty. (templated)
    :param description: free text. (templated)
    :param custom_metadata: values of the deployment's custom fields: strings, numbers, and dates as times
        with a zone or in Unix seconds. (templated)
    :param target: where in S3 to store the results outside Code Ocean, as an external data asset: ``bucket``,
        and if need be ``prefix`` and ``endpoint_name``; if not given, they are stored in Code Ocean.
        (templated)
    :param **kwargs: what every operator that creates a data asset takes: see
        :class:`~airflow_provider_codeocean.operators.base.CodeOceanCreateDataAssetBase`.
    """

    template_fields: Sequence[str] = (
        "computation_id",
        "name",
        "path",
        "mount",
        "tags",
        "description",
        "custom_metadata",
        "target",
        *CodeOceanCreateDataAssetBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"custom_metadata": "json", "target": "json"}

    def __init__(
        self,
        *,
        computation_id: str,
        name: str,
        path: str = "",
        mount: str | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
        custom_metadata: Mapping[str, Any] | None = None,
        target: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        self.name = name
        self.path = path
        self.mount = mount
        self.tags = tags
        self.description = description
        self.custom_metadata = custom_metadata
        self.target = target
        self.data_asset_params(known_now)

    def data_asset_params(self, read: ReadField = as_rendered) -> DataAssetParams:
        """Build what to create; see the base class."""
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams

        target = read(self.target, instead=None)
        return checked(
            DataAssetParams,
            _ARGUMENTS,
            {
                "name": read(self.name),
                "mount": read(self.name if self.mount is None else self.mount),
                "tags": [] if self.tags is None else read(self.tags, instead=[]),
                "description": read(self.description),
                "custom_metadata": read(self.custom_metadata, instead=None),
                "source": {"computation": {"id": read(self.computation_id), "path": read(self.path) or None}},
                "target": None if target is None else {"aws": target},
            },
        )
