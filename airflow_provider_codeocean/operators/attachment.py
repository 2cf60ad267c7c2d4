"""Operators that attach data assets to capsules, pipelines, and cloud workstations."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_codeocean.airflow_errors import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.validation import (
    KnowsTemplates,
    ReadField,
    as_list,
    as_rendered,
    check_identifier,
    check_identifier_early,
    check_one_of,
    checked,
    known_now,
    with_mount,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset_params import AttachParams

log = logging.getLogger(__name__)

#: The arguments that name the target, and the client's resource for each.
_TO = {"capsule_id": "capsules", "pipeline_id": "pipelines", "computation_id": "computations"}


class CodeOceanAttachmentBase(KnowsTemplates, BaseOperator):
    """Base of operators that attach or detach data assets. It takes exactly one of the first three.

    :param capsule_id: id of the capsule. (templated)
    :param pipeline_id: id of the pipeline. (templated)
    :param computation_id: id of the computation of a running cloud workstation. (templated)
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: arguments of Airflow's ``BaseOperator``.
    """

    template_fields: Sequence[str] = (*_TO, "codeocean_conn_id")
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        capsule_id: str | None = None,
        pipeline_id: str | None = None,
        computation_id: str | None = None,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.capsule_id = capsule_id
        self.pipeline_id = pipeline_id
        self.computation_id = computation_id
        self.codeocean_conn_id = codeocean_conn_id
        self._name = check_one_of(**{name: known_now(getattr(self, name)) for name in _TO})
        check_identifier_early(self._name, getattr(self, self._name))

    @abstractmethod
    def act(self, resource: Any, id: str) -> Any:  # noqa: A002
        """Attach or detach.

        :param resource: the client's resource.
        :param id: id of the capsule, pipeline, or computation.
        :returns: the task's result, as JSON values.
        :raises ValueError: if an argument is invalid, before anything is sent.
        """

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - as every operator
        """Attach or detach."""
        with no_retry_for_what_it_cannot_mend(self):
            its_id = check_identifier(self._name, getattr(self, self._name))
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                return self.act(_resource(client, self._name), its_id)


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
        self.attach_params(known_now)

    def attach_params(self, read: ReadField = as_rendered) -> list[AttachParams]:
        """Return the data assets to attach.

        :param read: reads the value of a template field.
        :returns: the parameters; an empty list if they are not known yet.
        :raises ValueError: if an argument is invalid.
        """
        from airflow_provider_codeocean.api.models.data_asset_params import AttachParams

        given = _listed("data_assets", read(self.data_assets, instead=None), read)
        return [
            checked(
                AttachParams,
                {"": f"data_assets.{number}"},
                with_mount(each),
            )
            for number, each in enumerate(given)
        ]

    def act(self, resource: Any, id: str) -> list[dict[str, Any]]:  # noqa: A002
        """Attach the data assets, and verify the response; see the base class."""
        wanted = self.attach_params()
        attached = resource.attach_data_assets(id, wanted)
        log.info("Attached to %s: %s", id, ", ".join(each.id for each in attached))
        mounts = {each.id.lower(): each.mount for each in attached}
        problems = [
            f"{each.id} is {f'mounted at {mounts[key]!r}' if key in mounts else 'not attached'}"
            for each in wanted
            if (key := each.id.lower()) not in mounts or mounts[key] not in (each.mount or mounts[key], None)
        ]
        if problems:
            raise AirflowException(
                f"Code Ocean accepted the request to attach data assets to {id}, but {'; '.join(problems)}"
            )
        return [each.model_dump(mode="json") for each in attached]


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
        self._ids(known_now)

    def _ids(self, read: ReadField = as_rendered) -> list[str]:
        given = _listed("data_asset_ids", read(self.data_asset_ids, instead=None), read)
        return [check_identifier(f"data_asset_ids.{number}", each) for number, each in enumerate(given)]

    def act(self, resource: Any, id: str) -> None:  # noqa: A002
        """Detach the data assets; see the base class."""
        ids = self._ids()
        resource.detach_data_assets(id, ids)
        log.info("Detached from %s: %s", id, ", ".join(ids))


def _resource(client: CodeOceanClient, name: str) -> Any:
    return getattr(client, _TO[name])


def _listed(name: str, value: Any, read: ReadField) -> list[Any]:
    if value is None and read is not as_rendered:
        return []
    listed = as_list(value)
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{name} must be a list that is not empty, got {value!r}")
    return listed
