"""Operators that create, update, archive, and delete data assets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._create_base import CodeOceanCreateDataAssetBase
from airflow_provider_codeocean.operators._data_asset_base import CodeOceanActOnDataAssetBase, check_effect
from airflow_provider_codeocean.outcomes import as_xcom
from airflow_provider_codeocean.validation import (
    ReadField,
    as_rendered,
    check_choice,
    check_flags,
    check_identifier,
    check_identifier_early,
    check_optional,
    check_text,
    checked,
    is_given,
    known_now,
    mount_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import (
        DataAssetParams,
        DataAssetUpdateParams,
    )

log = logging.getLogger(__name__)

#: What becomes of a capture where there is nothing to capture.
OnNoResults = Literal["fail", "skip"]

#: Stands for the name of the data asset in the prefix of a capture's target.
_NAME = "{name}"
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")

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
    :param path: file or folder among the results to capture; empty captures all of them. (templated)
    :param target: place in S3 that stores the results as an external data asset: ``bucket``, and optionally
        ``prefix`` and ``endpoint_name``; if not given, Code Ocean stores them. ``{name}`` in the prefix
        stands for the name of the data asset, also if that is read from ``name_file``; slashes in the name
        become underscores. (templated)
    :param name_file: JSON file among the results that contains the display name; if there is no such file, or
        no name in it, the name is ``name``. (templated)
    :param name_key: key of the name in that file; dots separate the keys of nested objects. (templated)
    :param on_no_results: what to do where the computation has left no results: ``fail`` as Code Ocean
        refuses it, or ``skip`` the task, and with it what comes after.
    :param capsule_id: id of the capsule or pipeline that was run, for asset events and lineage: of a
        computation, Code Ocean does not tell it. (templated)
    :param **kwargs: what every operator that creates a data asset takes: see
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
        self.path = path
        self.target = target
        check_optional("name_file", known_now(name_file), text.to_path)
        if is_given(name_key):
            check_text("name_key", known_now(name_key))
        check_identifier_early("computation_id", computation_id)
        self.name_file = name_file
        self.name_key = name_key
        check_choice("on_no_results", on_no_results, get_args(OnNoResults))
        self.on_no_results: OnNoResults = on_no_results
        if is_given(capsule_id):
            check_identifier_early("capsule_id", capsule_id)
        self.capsule_id = capsule_id
        self.data_asset_params(known_now)

    def data_asset_params(self, read: ReadField = as_rendered) -> DataAssetParams:
        """Build what to create; see the base class."""
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams

        target = read(self.target, instead=None)
        # A form leaves what was not filled in as an empty text.
        target = target if is_given(target) else None
        _check_prefix(target)
        return checked(
            DataAssetParams,
            _ARGUMENTS,
            {
                **self.described(read),
                "source": {"computation": {"id": read(self.computation_id), "path": read(self.path)}},
                "target": None if target is None else {"aws": target},
            },
        )

    def build_params(self) -> DataAssetParams:
        """Return what to create; see the base class."""
        self.computation_id = check_identifier("computation_id", self.computation_id)
        self.capsule_id = (
            check_identifier("capsule_id", self.capsule_id) if is_given(self.capsule_id) else None
        )
        self.name_file = check_optional("name_file", self.name_file, text.to_path) or None
        self.name_key = check_text("name_key", self.name_key) if is_given(self.name_key) else "name"
        return super().build_params()

    def carrier_options(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002 - as the base class
        """Tell whether the name is known before the results are read; see the base class."""
        return {"name_is_known": self.name_file is None}

    def checked_by_server(self, asked: DataAssetParams) -> DataAssetParams:
        """Check the results, and complete the name, mount, and prefix; see the base class."""
        hook = CodeOceanHook(self.codeocean_conn_id)
        if self.on_no_results == "skip":
            with hook.get_conn() as client:
                if client.computations.get(self.computation_id).has_results is False:
                    raise AirflowSkipException(f"Computation {self.computation_id} has left no results")
        changes: dict[str, Any] = {}
        name = None if self.name_file is None else self._name_among_results(hook, self.name_file)
        if name is not None:
            name = check_text("name_file", name, text.to_name)
            mount = asked.mount if is_given(self.mount) else mount_of(name, None, "name_file")
            changes = {"name": name, "mount": mount}
        if asked.target is not None and asked.target.aws.prefix:
            prefix = asked.target.aws.prefix.replace(_NAME, (name or asked.name).replace("/", "_"))
            changes["target"] = type(asked.target).model_validate(
                {"aws": {**asked.target.aws.to_json(), "prefix": prefix}}
            )
        return super().checked_by_server(asked.model_copy(update=changes))

    def _name_among_results(self, hook: CodeOceanHook, path: str) -> str | None:
        try:
            value = json.loads(hook.read_file(path, computation_id=self.computation_id))
        except NotFound as error:
            log.warning("The name is not among the results, so it is %r: %s", self.name, error)
            return None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"name_file: {path!r} among the results cannot be read: {error}") from error
        for key in self.name_key.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value.strip():
            return value.strip()
        log.warning("%r has no text at %r, so the name is %r", path, self.name_key, self.name)
        return None


def _check_prefix(target: Any) -> None:
    """Check that the only placeholder in the prefix of a target is the one for the name."""
    prefix = target.get("prefix") if isinstance(target, Mapping) else None
    unknown = _PLACEHOLDER.search(prefix.replace(_NAME, "")) if isinstance(prefix, str) else None
    if unknown:
        raise ValueError(f"target.prefix: {unknown[0]!r} is no placeholder; {_NAME!r} is the only one")


class CodeOceanCreateDataAssetOperator(CodeOceanCreateDataAssetBase):
    """Create a data asset from files in a bucket or a cloud workstation, or combine others.

    Source: ``POST data_assets``, user guide "Create a data asset". For the results of a computation there is
    :class:`CodeOceanCaptureResultOperator`.

    :param source: where the files come from, one of: ``aws`` (``bucket``, and if need be ``prefix``,
        ``endpoint_name``, ``public``, ``keep_on_external_storage``; or ``use_input_bucket`` and ``prefix``,
        for administrators), ``gcp`` (``bucket``, ``prefix``, ``client_id``, ``client_secret``),
        ``cloud_workstation`` (``id``, ``path``, ``run_script``), ``computation`` (``id``, ``path``).
        (templated)
    :param data_asset_ids: data assets to combine, instead of ``source``. (templated)
    :param results_info: lineage of results that are imported from S3: ``capsule_id`` or ``pipeline_id``, and
        if known ``version``, ``commit``, ``run_script``, ``data_assets``, ``parameters``,
        ``nextflow_profile``, ``processes``. (templated)
    :param **kwargs: what every operator that creates a data asset takes: see
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
        self.data_asset_params(known_now)

    def data_asset_params(self, read: ReadField = as_rendered) -> DataAssetParams:
        """Build what to create; see the base class."""
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams

        return checked(
            DataAssetParams,
            {},
            {
                **self.described(read),
                "source": read(self.source),
                "data_asset_ids": read(self.data_asset_ids),
                "results_info": read(self.results_info),
            },
        )


class CodeOceanUpdateDataAssetOperator(CodeOceanActOnDataAssetBase):
    """Change metadata of a data asset. The metadata that is not given stays as it is.

    Source: ``PUT data_assets/{id}``, after ``GET data_assets/{id}`` and, for ``custom_metadata``,
    ``GET custom_metadata``. The current name, description, tags, and mount are sent along with the changes,
    because Code Ocean's guide requires all four: a change that somebody else makes to them between the two
    requests is lost. Nothing is sent if the data asset is already as requested. The tag that identifies a
    captured data asset stays.

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
        :class:`~airflow_provider_codeocean.operators._data_asset_base.CodeOceanOneDataAssetBase`.
    """

    template_fields: Sequence[str] = (
        "name",
        "description",
        "mount",
        "tags",
        "add_tags",
        "remove_tags",
        "custom_metadata",
        *CodeOceanActOnDataAssetBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"custom_metadata": "json"}
    returns_id_of: ClassVar[str] = "data_asset_id"

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
        # Only the DAG file clears a description: a template that renders to nothing leaves it as it is.
        self._clears_description = description == ""
        self.mount = mount
        self.tags = tags
        self.add_tags = add_tags
        self.remove_tags = remove_tags
        self.custom_metadata = custom_metadata
        if tags is not None and (add_tags is not None or remove_tags is not None):
            raise ValueError("tags replaces all tags: give either tags, or add_tags and remove_tags")
        self.update_params(known_now)

    def update_params(self, read: ReadField = as_rendered) -> DataAssetUpdateParams:
        """Return the metadata to change; its tags are any of those given, as a check.

        :param read: reads the value of a template field.
        :returns: the parameters.
        :raises ValueError: if an argument is invalid.
        """
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetUpdateParams

        description = read(self.description)
        tags = [self._tags(name, read) for name in ("tags", "add_tags", "remove_tags")]
        return checked(
            DataAssetUpdateParams,
            {},
            {
                "name": read(self.name),
                "description": description if self._clears_description or is_given(description) else None,
                "mount": check_optional("mount", read(self.mount), text.to_new_folder),
                "tags": next((each for each in tags if each is not None), None),
                "custom_metadata": read(self.custom_metadata),
            },
        )

    def _tags(self, name: str, read: ReadField = as_rendered) -> list[str] | None:
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetUpdateParams

        value = read(getattr(self, name))
        if not is_given(value):
            return None
        return checked(DataAssetUpdateParams, {"tags": name}, {"tags": value}).tags

    def act(self, client: CodeOceanClient) -> dict[str, Any]:
        """Update the data asset and verify it; see the base class."""
        from airflow_provider_codeocean.custom_metadata import changed_tags, checked_with

        params = self.update_params()
        if params.custom_metadata is not None:
            values = checked_with(client, params.to_json()["custom_metadata"], whole=False)
            params = params.model_copy(update={"custom_metadata": values})
        asset = client.data_assets.get(self.data_asset_id)
        if params.tags is not None:
            tags = changed_tags(
                asset.tags,
                tags=self._tags("tags"),
                add=self._tags("add_tags") or (),
                remove=self._tags("remove_tags") or (),
            )
            params = params.model_copy(update={"tags": tags})
        if not _differences(params, asset) and not _altered_values(params, asset):
            log.info("Data asset %s is already as requested", asset.id)
            return as_xcom(asset, self.codeocean_url or "")
        updated = [client.data_assets.update(self.data_asset_id, _completed(params, asset))]
        asset = check_effect(
            client,
            f"the update of data asset {self.data_asset_id}",
            lambda: updated.pop() if updated else client.data_assets.get(self.data_asset_id),
            partial(_differences, params),
        )
        log.info("Updated data asset %s: %s", asset.id, ", ".join(params.to_json()))
        for altered in _altered_values(params, asset):
            log.warning("Code Ocean stored another value in data asset %s: %s", asset.id, altered)
        return as_xcom(asset, self.codeocean_url or "")


def _completed(params: DataAssetUpdateParams, asset: DataAsset) -> DataAssetUpdateParams:
    """Add the current values, because a server may clear what an update leaves out."""
    current = {
        "name": asset.name or None,
        "description": asset.description,
        "tags": asset.tags if "tags" in asset.model_fields_set else None,
        "mount": asset.mount,
    }
    values: dict[str, Any] = {name: value for name, value in current.items() if getattr(params, name) is None}
    if params.custom_metadata is not None:
        kept = {name: value for name, value in asset.custom_metadata.items() if value is not None}
        values["custom_metadata"] = {**kept, **params.custom_metadata}
    return params.model_copy(update=values)


def _differences(params: DataAssetUpdateParams, asset: DataAsset) -> list[str]:
    """Describe how a data asset differs from the requested changes, apart from values of custom metadata."""
    description = None if params.description is None else params.description.strip()
    pairs = [
        ("name", params.name, asset.name),
        ("description", description, (asset.description or "").strip()),
        ("mount", params.mount, asset.mount),
        ("tags", None if params.tags is None else sorted({*params.tags}), sorted({*asset.tags})),
    ]
    lacking = [name for name in params.custom_metadata or () if name not in asset.custom_metadata]
    return [
        *(
            f"{name} is {has!r} instead of {wanted!r}"
            for name, wanted, has in pairs
            if wanted not in (None, has)
        ),
        *(f"custom_metadata lacks {name!r}" for name in lacking),
    ]


def _altered_values(params: DataAssetUpdateParams, asset: DataAsset) -> list[str]:
    """Describe values of custom metadata that are not as requested: a server may round numbers and dates."""
    pairs = [
        (name, value, asset.custom_metadata[name])
        for name, value in (params.custom_metadata or {}).items()
        if name in asset.custom_metadata
    ]
    return [
        f"custom_metadata[{name!r}] is {has!r} instead of {wanted!r}"
        for name, wanted, has in pairs
        if wanted != has and str(wanted) != str(has)
    ]


class CodeOceanArchiveDataAssetOperator(CodeOceanActOnDataAssetBase):
    """Archive a data asset, or restore it.

    Source: ``PATCH data_assets/{id}/archive``. Searches return archived data assets only if they ask for
    them. Code Ocean does not return whether a data asset is archived, so the effect is not verified.

    :param data_asset_id: id of the data asset. (templated)
    :param archived: True archives it, False restores it.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._data_asset_base.CodeOceanOneDataAssetBase`.
    """

    def __init__(self, *, data_asset_id: str, archived: bool = True, **kwargs: Any) -> None:
        super().__init__(data_asset_id=data_asset_id, **kwargs)
        check_flags(archived=archived)
        self.archived = archived

    def act(self, client: CodeOceanClient) -> None:
        """Archive or restore the data asset; see the base class."""
        client.data_assets.archive(self.data_asset_id, archived=self.archived)
        log.info("%s data asset %s", "Archived" if self.archived else "Restored", self.data_asset_id)


class CodeOceanDeleteDataAssetOperator(CodeOceanActOnDataAssetBase):
    """Delete a data asset permanently, with its files. It is no error if the data asset does not exist.

    Source: ``DELETE data_assets/{id}``; the data asset is archived first if the server requires it. The files
    of an external data asset stay in their bucket.

    The result, in XCom, is whether the data asset existed. The arguments are those of
    :class:`~airflow_provider_codeocean.operators._data_asset_base.CodeOceanOneDataAssetBase`.
    """

    def act(self, client: CodeOceanClient) -> bool:
        """Delete the data asset; see the base class."""
        from airflow_provider_codeocean.deletion import Fate, remove_data_asset

        removed = remove_data_asset(client, self.data_asset_id, even_if_ready=True)
        log.info("%s", removed)
        return removed.fate is Fate.DELETED
