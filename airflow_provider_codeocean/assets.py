"""Asset URIs of Code Ocean, and the ``extra`` of asset events.

- ``codeocean://{host}/data_assets/{id}``: a data asset
- ``codeocean://{host}/capsules/{id}``: a capsule or pipeline
- ``codeocean://{host}/computations/{id}``: the results of a computation

The host is that of the connection, with the port unless it is the default of https or http.

Airflow finds the functions through the provider info and calls them in each process that creates such an
asset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_codeocean.validation import check_exactly_one, check_text

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

    from airflow_provider_codeocean.api.models.data_asset import DataAsset

SCHEME = "codeocean"
#: Kinds of resources in URIs.
RESOURCE_KINDS = ("data_assets", "capsules", "computations")

_URI_FORMAT = f"{SCHEME}://HOST/data_assets/ID, or the same with capsules or computations"
#: Longest text in an event, which Airflow stores in its database.
_MAX_TEXT_CHARACTERS = 1024
#: Longest list in an event.
_MAX_LIST_ITEMS = 100


def create_asset(
    *,
    host: str,
    data_asset_id: str | None = None,
    capsule_id: str | None = None,
    computation_id: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Create the asset of a data asset, of a capsule or pipeline, or of the results of a computation.

    Use it in inlets, outlets, and schedules. The ids must be known when the DAG is parsed: templates are not
    rendered. For data assets that a task creates, use an ``AssetAlias`` as outlet instead.

    :param host: host of the deployment, as in the connection.
    :param data_asset_id: id of the data asset; give exactly one of the three ids.
    :param capsule_id: id of the capsule or pipeline.
    :param computation_id: id of the computation.
    :param extra: further JSON values to store with the asset.
    :returns: the asset; a ``Dataset`` on Airflow 2.
    :raises ValueError: if an argument is invalid.
    """
    from airflow.providers.common.compat.sdk import Asset

    ids = {"data_asset_id": data_asset_id, "capsule_id": capsule_id, "computation_id": computation_id}
    argument = check_exactly_one(**ids)
    name = uri_name(f"{argument.removesuffix('_id')}s", check_text(argument, ids[argument]))
    return Asset(uri=f"{uri_namespace(host)}/{name}", extra=extra)


def uri_namespace(deployment: str) -> str:
    """Return scheme, host, and port of the URIs of a deployment, which is given as a URL or host."""
    url = deployment.strip()
    try:
        return f"{SCHEME}://{_normalize_host(urlsplit(url if '://' in url else f'https://{url}'))}"
    except ValueError as error:
        raise ValueError(f"host must be that of a Code Ocean deployment: {error}") from None


def uri_name(kind: str, resource_id: str) -> str:
    """Return the part of a URI after the host: one of :data:`RESOURCE_KINDS` and the id."""
    if "{{" in resource_id:
        raise ValueError(
            f"the URI of an asset is not rendered, but {resource_id!r} is a template: "
            "for a data asset that a task creates, use an AssetAlias as outlet"
        )
    return f"{kind}/{quote(resource_id, safe='')}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Normalize a URI; Airflow calls it for each asset of this scheme.

    :param uri: the URI; Airflow has dropped its fragment.
    :returns: the URI, with its host in lower case, without the default port, and with its id quoted.
    :raises ValueError: if the URI is invalid.
    """
    try:
        return SplitResult(SCHEME, _normalize_host(uri), f"/{_normalize_path(uri)}", "", "")
    except ValueError as error:  # without the URI, which may contain a token
        raise ValueError(f"an asset URI of Code Ocean must be {_URI_FORMAT}: {error}") from None


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:  # noqa: ARG001
    """Convert an asset of this scheme to an OpenLineage dataset; Airflow calls it.

    :param asset: the asset.
    :param lineage_context: the hook that collected it.
    :returns: the dataset, with the same name as in the operators' own events.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc}", name=parts.path.lstrip("/"))


def asset_event_extra(asset: DataAsset, *, url: str, capsule_id: str | None = None) -> dict[str, Any]:
    """Return the ``extra`` of a data asset's event.

    :param asset: the data asset.
    :param url: URL of its page.
    :param capsule_id: capsule or pipeline that created it, if its provenance does not name it.
    :returns: JSON values, always with the same keys; long texts and lists are truncated.
    """
    bucket, provenance = asset.source_bucket, asset.provenance
    extra: dict[str, Any] = _truncate(
        {
            "data_asset_id": asset.id,
            "name": asset.name,
            "type": asset.type,
            "state": asset.state,
            "version": data_asset_version(asset),
            "size": asset.size,
            "files": asset.files,
            "url": url,
            "provenance": provenance
            and {
                "computation": provenance.computation,
                "capsule": provenance.capsule or capsule_id,
                "commit": provenance.commit,
                "run_script": provenance.run_script,
                "data_assets": provenance.data_assets,
            },
            "contained_data_assets": [contained.id for contained in asset.contained_data_assets],
            "source_bucket": bucket
            and bucket.model_dump(mode="json", include=set(type(bucket).model_fields)),
        }
    )
    return extra


def data_asset_version(asset: DataAsset) -> str | None:
    """Return when the files got to their place, in Unix seconds: they never change, but may move."""
    changed_at = asset.last_transferred or asset.created
    return None if changed_at is None else f"{changed_at:.0f}"


def _normalize_path(uri: SplitResult) -> str:
    if uri.query:
        raise ValueError("it must have no query")
    match uri.path.rstrip("/").split("/"):
        case ["", kind, resource_id] if kind in RESOURCE_KINDS and unquote(resource_id).strip():
            return uri_name(kind, unquote(resource_id))
        case ["", kind] | ["", kind, _] if kind in RESOURCE_KINDS:
            raise ValueError(f"it has no id of one of its {kind}")
    raise ValueError(f"it has the path {uri.path!r}")


def _normalize_host(parts: SplitResult) -> str:
    """Return host and port. Errors do not contain the part before the host, which may be a token."""
    if "@" in parts.netloc:
        raise ValueError("it must hold neither a user nor a token")
    if not parts.hostname:
        raise ValueError("it has no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode()
    if quote(host, safe="[:]") != host:
        raise ValueError(f"it has the host {host!r}")
    # The URI does not distinguish http from https, so the default ports of both are dropped.
    if parts.port in (None, 443) or (parts.scheme, parts.port) == ("http", 80):
        return host
    return f"{host}:{parts.port}"


def _truncate(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _truncate(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_truncate(item) for item in value[:_MAX_LIST_ITEMS]]
    # An enum becomes its text.
    return str(value)[:_MAX_TEXT_CHARACTERS] if isinstance(value, str) else value
