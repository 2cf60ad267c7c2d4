"""Compare a data asset with a requested update of its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetUpdateParams


def add_current_values(params: DataAssetUpdateParams, asset: DataAsset) -> DataAssetUpdateParams:
    """Add the current values, because a server may clear what an update omits."""
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


def describe_differences(params: DataAssetUpdateParams, asset: DataAsset) -> list[str]:
    """Describe, in clauses, how a data asset differs from an update, except values of custom metadata."""
    description = None if params.description is None else params.description.strip()
    pairs = [
        ("name", params.name, asset.name),
        ("description", description, (asset.description or "").strip()),
        ("mount", params.mount, asset.mount),
        ("tags", None if params.tags is None else sorted({*params.tags}), sorted({*asset.tags})),
    ]
    return [
        *(
            f"{name} is {actual!r} instead of {requested!r}"
            for name, requested, actual in pairs
            if requested not in (None, actual)
        ),
        *(
            f"custom_metadata lacks {name!r}"
            for name in params.custom_metadata or ()
            if name not in asset.custom_metadata
        ),
    ]


def describe_altered_values(params: DataAssetUpdateParams, asset: DataAsset) -> list[str]:
    """Describe values of custom metadata that differ from it: a server may round numbers and dates."""
    return [
        f"custom_metadata[{name!r}] is {asset.custom_metadata[name]!r} instead of {requested!r}"
        for name, requested in (params.custom_metadata or {}).items()
        if name in asset.custom_metadata
        and requested != asset.custom_metadata[name]
        and str(requested) != str(asset.custom_metadata[name])
    ]
