"""Operators that attach data assets to capsules, pipelines, and cloud workstations."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.operators._base import CodeOceanActionBase
from airflow_provider_codeocean.validation import (
    FieldReader,
    build_params_model,
    check_exactly_one,
    check_identifier,
    check_unrendered_identifier,
    rendered_value,
    static_value,
    to_data_asset_mount,
    to_list,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset_params import AttachParams

log = logging.getLogger(__name__)

#: The client's resource for each argument that names the target.
_RESOURCES_BY_ARGUMENT = {
    "capsule_id": "capsules",
    "pipeline_id": "pipelines",
    "computation_id": "computations",
}


class CodeOceanAttachmentBase(CodeOceanActionBase):
    """Base of operators that attach or detach data assets. It takes exactly one of the three ids.

    :param capsule_id: id of the capsule. (templated)
    :param pipeline_id: id of the pipeline. (templated)
    :param computation_id: id of the computation of a running cloud workstation. (templated)
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = (*_RESOURCES_BY_ARGUMENT, *CodeOceanActionBase.template_fields)

    def __init__(
        self,
        *,
        capsule_id: str | None = None,
        pipeline_id: str | None = None,
        computation_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.capsule_id = capsule_id
        self.pipeline_id = pipeline_id
        self.computation_id = computation_id
        ids = {name: static_value(getattr(self, name)) for name in _RESOURCES_BY_ARGUMENT}
        self._target_argument = check_exactly_one(**ids)
        check_unrendered_identifier(self._target_argument, getattr(self, self._target_argument))

    def resolve_target(self, client: CodeOceanClient) -> tuple[Any, str]:
        """Return the client's resource of the target, and the target's id."""
        target_id = check_identifier(self._target_argument, getattr(self, self._target_argument))
        return getattr(client, _RESOURCES_BY_ARGUMENT[self._target_argument]), target_id


class CodeOceanAttachDataAssetsOperator(CodeOceanAttachmentBase):
    """Attach data assets to a capsule, a pipeline, or a running cloud workstation.

    Source: ``POST capsules/{id}/data_assets``, ``POST pipelines/{id}/data_assets``, and
    ``POST computations/{id}/data_assets``. The task fails, with its retries, if the response lacks a data
    asset or shows another mount folder than the requested one.

    The result, in XCom, is a list of attachments with the fields of Code Ocean's API (``id``, ``mount``,
    ``mount_state``, ``job_id``, ``external``, ``ready``).

    :param data_assets: ids of data assets, or mappings of ``id`` and ``mount`` (the mount folder).
        (templated)
    :param **kwargs: arguments of :class:`CodeOceanAttachmentBase`.
    """

    template_fields: Sequence[str] = ("data_assets", *CodeOceanAttachmentBase.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"data_assets": "json"}

    def __init__(self, *, data_assets: Sequence[str | Mapping[str, str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_assets = data_assets
        self.attach_params(static_value)

    def attach_params(self, read: FieldReader = rendered_value) -> list[AttachParams]:
        """Return the data assets to attach; none if a template decides that."""
        from airflow_provider_codeocean.api.models.data_asset_params import AttachParams

        data_assets = _check_nonempty_list("data_assets", read(self.data_assets, placeholder=None), read)
        return [
            build_params_model(AttachParams, {"": f"data_assets.{number}"}, to_data_asset_mount(data_asset))
            for number, data_asset in enumerate(data_assets)
        ]

    @override
    def perform(self, client: CodeOceanClient) -> list[dict[str, Any]]:
        resource, target_id = self.resolve_target(client)
        requested = self.attach_params()
        attached = resource.attach_data_assets(target_id, requested)
        log.info("Attached to %s: %s", target_id, ", ".join(attachment.id for attachment in attached))
        mounts = {attachment.id.lower(): attachment.mount for attachment in attached}
        problems = []
        for params in requested:
            if params.id.lower() not in mounts:
                problems.append(f"{params.id} is not attached")
            elif params.mount and mounts[params.id.lower()] not in (params.mount, None):
                problems.append(f"{params.id} is mounted at {mounts[params.id.lower()]!r}")
        if problems:
            raise CodeOceanError(
                f"Code Ocean accepted the request to attach data assets to {target_id}, but "
                f"{'; '.join(problems)}"
            )
        return [attachment.model_dump(mode="json") for attachment in attached]


class CodeOceanDetachDataAssetsOperator(CodeOceanAttachmentBase):
    """Detach data assets from a capsule, a pipeline, or a running cloud workstation.

    Source: ``DELETE capsules/{id}/data_assets/``, ``DELETE pipelines/{id}/data_assets/``, and
    ``DELETE computations/{id}/data_assets/``. Code Ocean returns nothing, so the effect is not verified.

    :param data_asset_ids: ids of the data assets. (templated)
    :param **kwargs: arguments of :class:`CodeOceanAttachmentBase`.
    """

    template_fields: Sequence[str] = ("data_asset_ids", *CodeOceanAttachmentBase.template_fields)

    def __init__(self, *, data_asset_ids: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_asset_ids = data_asset_ids
        self._read_ids(static_value)

    def _read_ids(self, read: FieldReader = rendered_value) -> list[str]:
        ids = _check_nonempty_list("data_asset_ids", read(self.data_asset_ids, placeholder=None), read)
        return [check_identifier(f"data_asset_ids.{number}", value) for number, value in enumerate(ids)]

    @override
    def perform(self, client: CodeOceanClient) -> None:
        resource, target_id = self.resolve_target(client)
        ids = self._read_ids()
        resource.detach_data_assets(target_id, ids)
        log.info("Detached from %s: %s", target_id, ", ".join(ids))


def _check_nonempty_list(name: str, value: Any, read: FieldReader) -> list[Any]:
    if value is None and read is not rendered_value:
        return []
    items = to_list(value)
    if not isinstance(items, list) or not items:
        raise ValueError(f"{name} must be a list that is not empty, got {value!r}")
    return items
