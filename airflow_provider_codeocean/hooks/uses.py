"""Search the capsules, pipelines, and combined data assets that use a data asset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.capsule import Capsule
    from airflow_provider_codeocean.api.models.data_asset import DataAsset

#: Kinds of objects that can use a data asset.
USE_KINDS = ("capsule", "pipeline", "data_asset")


def check_use_kinds(kinds: Collection[str]) -> None:
    """Raise ValueError if there are no kinds, or one is not in :data:`USE_KINDS`."""
    if isinstance(kinds, str) or not kinds or not set(kinds) <= set(USE_KINDS):
        raise ValueError(f"kinds must be a list of any of {', '.join(USE_KINDS)}, got {kinds!r}")


def search_uses(
    client: CodeOceanClient, data_asset_id: str, kinds: Collection[str]
) -> list[tuple[str, Capsule | DataAsset]]:
    """Search the uses of a data asset; see :meth:`.CodeOceanHook.find_data_asset_uses`."""
    from airflow_provider_codeocean.api.models.capsule import CapsuleSearchParams
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
    from airflow_provider_codeocean.api.models.search import MAX_PAGE_SIZE

    check_use_kinds(kinds)
    uses: list[tuple[str, Any]] = []
    for kind in dict.fromkeys(kinds):
        for archived in (False, True):
            options: dict[str, Any] = {"archived": archived, "limit": MAX_PAGE_SIZE}
            if kind == "data_asset":
                query = f"contained_data_id:{data_asset_id}"
                combined = client.data_assets.search_all(DataAssetSearchParams(query=query, **options))
                uses += [(kind, asset) for asset in combined]
            else:
                resource = client.capsules if kind == "capsule" else client.pipelines
                found = resource.search_all(CapsuleSearchParams(query=data_asset_id, **options))
                uses += [(kind, capsule) for capsule in found]
    return uses
