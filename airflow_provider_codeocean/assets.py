"""Asset URIs of what is in Code Ocean, and what the event of a data asset tells.

``codeocean://{host}/data_assets/{id}`` is a data asset, ``codeocean://{host}/capsules/{id}`` a capsule or
pipeline, ``codeocean://{host}/computations/{id}`` the results of a computation. The host is that of the
connection, with its port unless that is 443, or 80 of http.

Airflow reads the functions from the provider info, in each process that makes a Code Ocean asset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_codeocean.validation import check_one_of, check_text

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

    from airflow_provider_codeocean.api.models.data_asset import DataAsset, Provenance

SCHEME = "codeocean"
#: What is in Code Ocean, as URIs call it.
KINDS = ("data_assets", "capsules", "computations")

_RIGHT = f"{SCHEME}://HOST/data_assets/ID, or the same with capsules or computations"
#: What an event holds at most, for the sake of Airflow's database.
_LONGEST, _MOST = 1024, 100


def create_asset(
    *,
    host: str,
    data_asset_id: str | None = None,
    capsule_id: str | None = None,
    computation_id: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Make the asset of a data asset, a capsule or pipeline, or the results of a computation.

    It is for inlets, outlets and schedules of a DAG, and known when the DAG is parsed: a template is not
    rendered. What a task makes gets its asset when it is made: its task has an ``AssetAlias`` as outlet.

    :param host: host of the deployment, as in the connection.
    :param data_asset_id: id of the data asset; exactly one of the three.
    :param capsule_id: id of the capsule or pipeline.
    :param computation_id: id of the computation.
    :param extra: what the asset is to hold besides, as JSON values.
    :returns: the asset; a ``Dataset`` on Airflow 2.
    :raises ValueError: where an argument is wrong, naming it.
    """
    from airflow.providers.common.compat.sdk import Asset

    identifiers = {
        "data_asset_id": data_asset_id,
        "capsule_id": capsule_id,
        "computation_id": computation_id,
    }
    given = check_one_of(**identifiers)
    kind = f"{given.removesuffix('_id')}s"
    its_id = check_text(given, identifiers[given])
    return Asset(uri=f"{namespace_of(host)}/{name_of(kind, its_id)}", extra=extra)


def namespace_of(deployment: str) -> str:
    """Return what the URIs of a deployment begin with.

    :param deployment: its address or host; https if no scheme is given.
    :returns: scheme, host and, where it is neither 443 nor 80 of http, port.
    :raises ValueError: where that is no host.
    """
    address = deployment.strip()
    try:
        return f"{SCHEME}://{_host(urlsplit(address if '://' in address else f'https://{address}'))}"
    except ValueError as error:
        raise ValueError(f"host must be that of a Code Ocean deployment: {error}") from None


def name_of(kind: str, its_id: str) -> str:
    """Return what follows the host in the URI of something.

    :param kind: one of :data:`KINDS`.
    :param its_id: its id.
    :returns: kind and id, quoted.
    :raises ValueError: where the id is a template.
    """
    if "{{" in its_id:
        raise ValueError(
            f"the URI of an asset is not rendered, and {its_id!r} is a template: "
            f"for what a task makes, give an AssetAlias as outlet"
        )
    return f"{kind}/{quote(its_id, safe='')}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Bring a URI into the one form that it has; Airflow calls it for each asset of this scheme.

    :param uri: the URI; Airflow has dropped its fragment.
    :returns: the URI, with its host in lower case, without the default port, and with its id quoted.
    :raises ValueError: where it leads to nothing in Code Ocean, saying what would be right.
    """
    try:
        return SplitResult(SCHEME, _host(uri), f"/{_name_in(uri)}", "", "")
    except ValueError as error:  # the URI itself may hold a token
        raise ValueError(f"an asset URI of Code Ocean must be {_RIGHT}: {error}") from None


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:  # noqa: ARG001
    """Translate an asset of this scheme for OpenLineage; Airflow calls it.

    :param asset: the asset.
    :param lineage_context: the hook that collected it.
    :returns: the dataset, under the name by which the operators' own events call it.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc}", name=parts.path.lstrip("/"))


def event_of(asset: DataAsset, *, url: str, capsule_id: str | None = None) -> dict[str, Any]:
    """Return what the event of a data asset tells those that are scheduled on it.

    :param asset: the data asset.
    :param url: address of its page.
    :param capsule_id: capsule or pipeline that made it, where the data asset does not tell.
    :returns: JSON values, always the same keys; texts and lists that are very long are cut.
    """
    bucket = asset.source_bucket
    event: dict[str, Any] = _bounded(
        {
            "data_asset_id": asset.id,
            "name": asset.name,
            "type": asset.type,
            "state": asset.state,
            "version": version_of(asset),
            "size": asset.size,
            "files": asset.files,
            "url": url,
            "provenance": asset.provenance and _provenance(asset.provenance, capsule_id),
            "contained_data_assets": [each.id for each in asset.contained_data_assets],
            "source_bucket": bucket
            and bucket.model_dump(mode="json", include=set(type(bucket).model_fields)),
        }
    )
    return event


def version_of(asset: DataAsset) -> str | None:
    """Tell one state of a data asset's files from another: they never change, but can be moved.

    :param asset: the data asset.
    :returns: when its files came to where they are, in Unix seconds; None where that is not told.
    """
    since = asset.last_transferred or asset.created
    return None if since is None else f"{since:.0f}"


def _provenance(made_by: Provenance, capsule_id: str | None) -> dict[str, Any]:
    return {
        "computation": made_by.computation,
        "capsule": made_by.capsule or capsule_id,
        "commit": made_by.commit,
        "run_script": made_by.run_script,
        "data_assets": made_by.data_assets,
    }


def _name_in(uri: SplitResult) -> str:
    """Return kind and id in the one form that they have."""
    if uri.query:  # which may hold a token
        raise ValueError("it must have no query")
    match uri.path.rstrip("/").split("/"):
        case ["", kind, its_id] if kind in KINDS and unquote(its_id).strip():
            return name_of(kind, unquote(its_id))
        case ["", kind] | ["", kind, _] if kind in KINDS:
            raise ValueError(f"it has no id of one of its {kind}")
    raise ValueError(f"it has the path {uri.path!r}")


def _host(parts: SplitResult) -> str:
    """Return host and port in the one form that they have; what is wrong with them is told without them."""
    if "@" in parts.netloc:
        raise ValueError("it must hold neither a user nor a token")
    if not parts.hostname:
        raise ValueError("it has no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode()
    if quote(host, safe="[:]") != host:
        raise ValueError(f"it has the host {host!r}")
    # An asset's URI does not tell http from https: what it leaves out is left out of any address.
    if parts.port in (None, 443) or (parts.scheme, parts.port) == ("http", 80):
        return host
    return f"{host}:{parts.port}"


def _bounded(value: Any) -> Any:
    """Cut what is longer than an event may hold; an enum becomes the text that it stands for."""
    if isinstance(value, dict):
        return {key: _bounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_bounded(each) for each in value[:_MOST]]
    return str(value)[:_LONGEST] if isinstance(value, str) else value
