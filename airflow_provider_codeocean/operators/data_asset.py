"""Operators that create, update, archive, and delete data assets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowSkipException
from typing_extensions import override

from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.operators._base import CodeOceanDataAssetActionBase, verify_change
from airflow_provider_codeocean.operators._create_base import CodeOceanCreateDataAssetBase
from airflow_provider_codeocean.operators._update_differences import (
    add_current_values,
    describe_altered_values,
    describe_differences,
)
from airflow_provider_codeocean.outcomes import to_xcom
from airflow_provider_codeocean.validation import (
    FieldReader,
    build_params_model,
    check_choice,
    check_flags,
    check_identifier,
    check_optional_text,
    check_text,
    check_unrendered_identifier,
    has_value,
    rendered_value,
    resolve_mount,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams, DataAssetUpdateParams
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

log = logging.getLogger(__name__)

#: What a capture does if the computation has no results.
OnNoResults = Literal["fail", "skip"]

#: Placeholder for the data asset's name in the prefix of a capture's target.
_NAME_PLACEHOLDER = "{name}"
_PLACEHOLDER_PATTERN = re.compile(r"\{[^{}]*\}")

#: Arguments of a capture by their paths in the request.
_CAPTURE_ARGUMENTS = {
    "source.computation.id": "computation_id",
    "source.computation.path": "path",
    "target.aws": "target",
}


class CodeOceanCaptureResultOperator(CodeOceanCreateDataAssetBase):
    """Capture the results of a finished computation as a data asset.

    Source: ``POST data_assets``, user guide "Create a data asset" (source ``computation``).

    :param computation_id: id of the computation. (templated)
    :param path: file or folder to capture; empty captures all results. (templated)
    :param target: place in S3 that stores the results as an external data asset: ``bucket``, and optionally
        ``prefix`` and ``endpoint_name``; None stores them in Code Ocean. ``{name}`` in the prefix stands for
        the name of the data asset, with underscores for slashes. (templated)
    :param name_file: JSON file among the results that contains the display name. If the file or the name is
        missing, ``name`` is used. (templated)
    :param name_key: key of the name in that file; dots separate the keys of nested objects. (templated)
    :param on_no_results: if the computation has no results, ``fail`` the task with Code Ocean's error, or
        ``skip`` it and its downstream tasks.
    :param capsule_id: id of the capsule or pipeline that ran, for asset events and lineage: Code Ocean does
        not return it with a computation. (templated)
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._create_base.CodeOceanCreateDataAssetBase`.
    """

    template_fields: Sequence[str] = (
        "computation_id",
        "path",
        "target",
        "name_file",
        "name_key",
        "capsule_id",
        *CodeOceanCreateDataAssetBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "target": "json",
        **CodeOceanCreateDataAssetBase.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        computation_id: str,
        path: str = "",
        target: Mapping[str, Any] | None = None,
        name_file: str | None = None,
        name_key: str = "name",
        on_no_results: OnNoResults = "fail",
        capsule_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        check_unrendered_identifier("computation_id", computation_id)
        self.path = path
        self.target = target
        self.name_file = name_file
        check_optional_text("name_file", static_value(name_file), text.to_file_path)
        self.name_key = name_key
        check_optional_text("name_key", static_value(name_key))
        check_choice("on_no_results", on_no_results, get_args(OnNoResults))
        self.on_no_results: OnNoResults = on_no_results
        self.capsule_id = capsule_id
        if has_value(capsule_id):
            check_unrendered_identifier("capsule_id", capsule_id)
        self.build_data_asset_params(static_value)

    @override
    def build_data_asset_params(self, read_field: FieldReader = rendered_value) -> DataAssetParams:
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams

        target = read_field(self.target, placeholder=None)
        if not has_value(target):  # an empty field of a form is an empty text
            target = None
        _check_prefix(target)
        computation = {"id": read_field(self.computation_id), "path": read_field(self.path)}
        values = {
            **self.description_fields(read_field),
            "source": {"computation": computation},
            "target": None if target is None else {"aws": target},
        }
        return build_params_model(DataAssetParams, _CAPTURE_ARGUMENTS, values)

    @override
    def build_params(self) -> DataAssetParams:
        self.computation_id = check_identifier("computation_id", self.computation_id)
        self.capsule_id = (
            check_identifier("capsule_id", self.capsule_id) if has_value(self.capsule_id) else None
        )
        self.name_file = check_optional_text("name_file", self.name_file, text.to_file_path)
        self.name_key = check_optional_text("name_key", self.name_key) or "name"
        return super().build_params()

    @override
    def job_options(self, context: Context) -> Mapping[str, Any]:
        return {"is_name_known": self.name_file is None}

    @override
    def validate_against_server(self, params: DataAssetParams, hook: CodeOceanHook) -> DataAssetParams:
        if self.on_no_results == "skip":
            with hook.open_client() as client:
                if client.computations.get(self.computation_id).has_results is False:
                    raise AirflowSkipException(f"Computation {self.computation_id} has no results")
        changes: dict[str, Any] = {}
        name = params.name
        if self.name_file is not None and (value := self._read_name_from_results(hook, self.name_file)):
            name = check_text("name_file", value, text.to_display_name)
            mount = params.mount if has_value(self.mount) else resolve_mount(name, None, "name_file")
            changes = {"name": name, "mount": mount}
        if params.target is not None and params.target.aws.prefix:
            target = params.target.aws.to_json()
            target["prefix"] = target["prefix"].replace(_NAME_PLACEHOLDER, name.replace("/", "_"))
            changes["target"] = type(params.target).model_validate({"aws": target})
        return super().validate_against_server(params.model_copy(update=changes), hook)

    def _read_name_from_results(self, hook: CodeOceanHook, path: str) -> str | None:
        try:
            value = json.loads(hook.read_file(path, computation_id=self.computation_id))
        except NotFound as error:
            log.warning("The results contain no file %r, using the name %r: %s", path, self.name, error)
            return None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"name_file: {path!r} among the results cannot be read: {error}") from error
        for key in self.name_key.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value.strip():
            return value.strip()
        log.warning("%r has no text at %r, using the name %r", path, self.name_key, self.name)
        return None


def _check_prefix(target: Any) -> None:
    prefix = target.get("prefix") if isinstance(target, Mapping) else None
    if not isinstance(prefix, str):
        return
    if unknown := _PLACEHOLDER_PATTERN.search(prefix.replace(_NAME_PLACEHOLDER, "")):
        raise ValueError(f"target.prefix: unknown placeholder {unknown[0]!r}; use {_NAME_PLACEHOLDER!r}")


class CodeOceanCreateDataAssetOperator(CodeOceanCreateDataAssetBase):
    """Create a data asset from files in a bucket or a cloud workstation, or combine others.

    Source: ``POST data_assets``, user guide "Create a data asset". For the results of a computation, use
    :class:`CodeOceanCaptureResultOperator`.

    :param source: source of the files, one of: ``aws`` (``bucket``, optionally ``prefix``, ``endpoint_name``,
        ``public``, ``keep_on_external_storage``; or ``use_input_bucket`` and ``prefix``, for administrators),
        ``gcp`` (``bucket``, ``prefix``, ``client_id``, ``client_secret``), ``cloud_workstation`` (``id``,
        ``path``, ``run_script``), ``computation`` (``id``, ``path``). (templated)
    :param data_asset_ids: data assets to combine, instead of ``source``. (templated)
    :param results_info: lineage of results that are imported from S3: ``capsule_id`` or ``pipeline_id``, and
        optionally ``version``, ``commit``, ``run_script``, ``data_assets``, ``parameters``,
        ``nextflow_profile``, ``processes``. (templated)
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._create_base.CodeOceanCreateDataAssetBase`.
    """

    template_fields: Sequence[str] = (
        "source",
        "data_asset_ids",
        "results_info",
        *CodeOceanCreateDataAssetBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "source": "json",
        "results_info": "json",
        **CodeOceanCreateDataAssetBase.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        source: Mapping[str, Any] | None = None,
        data_asset_ids: Sequence[str] | None = None,
        results_info: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.data_asset_ids = data_asset_ids
        self.results_info = results_info
        self.build_data_asset_params(static_value)

    @override
    def build_data_asset_params(self, read_field: FieldReader = rendered_value) -> DataAssetParams:
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams

        own_fields = {
            name: read_field(getattr(self, name)) for name in ("source", "data_asset_ids", "results_info")
        }
        return build_params_model(DataAssetParams, {}, {**self.description_fields(read_field), **own_fields})


class CodeOceanUpdateDataAssetOperator(CodeOceanDataAssetActionBase):
    """Change metadata of a data asset. Other metadata stays as it is.

    Source: ``PUT data_assets/{id}``, after ``GET data_assets/{id}`` and, for ``custom_metadata``,
    ``GET custom_metadata``. Nothing is sent if the data asset is already up to date. Code Ocean requires
    name, description, tags, and mount in each update, so the current ones are sent along: changes by others
    between the two requests are lost. The idempotency tag of a captured data asset stays.

    The task fails, with its retries, if Code Ocean accepts the update but does not return the data asset as
    requested within 15 seconds, for example because it truncated the name.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param name: display name. (templated)
    :param description: free text; empty clears it. (templated)
    :param mount: default mount folder. (templated)
    :param tags: all tags; not together with ``add_tags`` or ``remove_tags``. (templated)
    :param add_tags: tags to add. (templated)
    :param remove_tags: tags to remove; missing ones are no error. (templated)
    :param custom_metadata: values of custom fields to set; other fields stay as they are. (templated)
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = (
        "name",
        "description",
        "mount",
        "tags",
        "add_tags",
        "remove_tags",
        "custom_metadata",
        *CodeOceanDataAssetActionBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"custom_metadata": "json"}
    result_id_key: ClassVar[str] = "data_asset_id"

    def __init__(
        self,
        *,
        data_asset_id: str,
        name: str | None = None,
        description: str | None = None,
        mount: str | None = None,
        tags: Sequence[str] | None = None,
        add_tags: Sequence[str] | None = None,
        remove_tags: Sequence[str] | None = None,
        custom_metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_asset_id=data_asset_id, **kwargs)
        self.name = name
        self.description = description
        # Only the DAG file clears a description: a template that renders to nothing leaves it unchanged.
        self._clears_description = description == ""
        self.mount = mount
        self.tags = tags
        self.add_tags = add_tags
        self.remove_tags = remove_tags
        self.custom_metadata = custom_metadata
        if tags is not None and (add_tags is not None or remove_tags is not None):
            raise ValueError("tags replaces all tags: give either tags, or add_tags and remove_tags")
        self.update_params(static_value)

    def update_params(self, read: FieldReader = rendered_value) -> DataAssetUpdateParams:
        """Return the changes. Their ``tags`` are the first of the three tag arguments, as a check."""
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetUpdateParams

        description = read(self.description)
        tags = [self._check_tags(name, read) for name in ("tags", "add_tags", "remove_tags")]
        return build_params_model(
            DataAssetUpdateParams,
            {},
            {
                "name": read(self.name),
                "description": description if self._clears_description or has_value(description) else None,
                "mount": check_optional_text("mount", read(self.mount), text.to_new_folder_name),
                "tags": next((value for value in tags if value is not None), None),
                "custom_metadata": read(self.custom_metadata),
            },
        )

    def _check_tags(self, name: str, read: FieldReader = rendered_value) -> list[str] | None:
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetUpdateParams

        value = read(getattr(self, name))
        if not has_value(value):
            return None
        return build_params_model(DataAssetUpdateParams, {"tags": name}, {"tags": value}).tags

    @override
    def perform(self, client: CodeOceanClient) -> dict[str, Any]:
        from airflow_provider_codeocean.custom_metadata import merge_tags, validate_with_schema

        params = self.update_params()
        if params.custom_metadata is not None:
            values = validate_with_schema(client, params.to_json()["custom_metadata"], require_all=False)
            params = params.model_copy(update={"custom_metadata": values})
        asset = client.data_assets.get(self.data_asset_id)
        if params.tags is not None:
            tags = merge_tags(
                asset.tags,
                tags=self._check_tags("tags"),
                add=self._check_tags("add_tags") or (),
                remove=self._check_tags("remove_tags") or (),
            )
            params = params.model_copy(update={"tags": tags})
        if not describe_differences(params, asset) and not describe_altered_values(params, asset):
            log.info("Data asset %s is already up to date", asset.id)
            return to_xcom(asset, self.codeocean_url or "")
        responses = [client.data_assets.update(self.data_asset_id, add_current_values(params, asset))]
        asset = verify_change(
            client,
            f"the update of data asset {self.data_asset_id}",
            lambda: responses.pop() if responses else client.data_assets.get(self.data_asset_id),
            partial(describe_differences, params),
        )
        log.info("Updated data asset %s: %s", asset.id, ", ".join(params.to_json()))
        for altered in describe_altered_values(params, asset):
            log.warning("Code Ocean stored another value in data asset %s: %s", asset.id, altered)
        return to_xcom(asset, self.codeocean_url or "")


class CodeOceanArchiveDataAssetOperator(CodeOceanDataAssetActionBase):
    """Archive a data asset, or restore it.

    Source: ``PATCH data_assets/{id}/archive``. Searches return archived data assets only if they ask for
    them. Code Ocean does not return whether a data asset is archived, so the effect is not verified.

    :param data_asset_id: id of the data asset. (templated)
    :param archived: True archives it, False restores it.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    def __init__(self, *, data_asset_id: str, archived: bool = True, **kwargs: Any) -> None:
        super().__init__(data_asset_id=data_asset_id, **kwargs)
        check_flags(archived=archived)
        self.archived = archived

    @override
    def perform(self, client: CodeOceanClient) -> None:
        client.data_assets.archive(self.data_asset_id, archived=self.archived)
        log.info("%s data asset %s", "Archived" if self.archived else "Restored", self.data_asset_id)


class CodeOceanDeleteDataAssetOperator(CodeOceanDataAssetActionBase):
    """Delete a data asset permanently, with its files. It is no error if the data asset does not exist.

    Source: ``DELETE data_assets/{id}``; the data asset is archived first if the server requires it. The files
    of an external data asset stay in their bucket.

    The result, in XCom, is whether the data asset existed. The arguments are those of
    :class:`~airflow_provider_codeocean.operators._base.CodeOceanDataAssetActionBase`.
    """

    @override
    def perform(self, client: CodeOceanClient) -> bool:
        from airflow_provider_codeocean.deletion import DeletionStatus, delete_data_asset

        deletion = delete_data_asset(client, self.data_asset_id, only_if_pending=False)
        log.info("%s", deletion)
        return deletion.status is DeletionStatus.DELETED
