"""The datasets that a task read and wrote, as far as Code Ocean reports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_codeocean.assets import data_asset_version, uri_name, uri_namespace
from airflow_provider_codeocean.outcomes import Outcome, computation_outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_codeocean.api.models.computation import Computation, RunParams
    from airflow_provider_codeocean.api.models.data_asset import DataAsset, SourceBucket

#: URI schemes of object stores by the ``origin`` of a bucket.
_URI_SCHEMES = {"aws": "s3", "gcp": "gs"}


@dataclass(frozen=True)
class LineageDataset:
    """A dataset that a task reads or writes.

    :param namespace: namespace of the name: a deployment of Code Ocean, or a bucket.
    :param name: name in the namespace.
    :param version: identifies one state of the dataset.
    :param asset: the data asset, if it is completely known.
    :param location: folder in an object store to which its files were written.
    """

    namespace: str
    name: str
    version: str | None = None
    asset: DataAsset | None = field(default=None, compare=False, repr=False)
    location: LineageDataset | None = None

    @property
    def uri(self) -> str:
        """URI of the dataset's asset."""
        return f"{self.namespace}/{self.name.lstrip('/')}"


@dataclass(frozen=True, kw_only=True)
class TaskLineage:
    """The datasets that a task read and wrote.

    :param inputs: datasets that it read.
    :param outputs: datasets that it wrote.
    :param code: the capsule or pipeline that ran, if it is known.
    :param commit: commit of its code.
    :param release: released version of its code.
    :param code_url: URL of the code's page, if it is known.
    :param computation_id: id of the computation.
    :param is_new: whether the outputs are new; False if an existing data asset was transferred.
    """

    inputs: tuple[LineageDataset, ...]
    outputs: tuple[LineageDataset, ...]
    code: LineageDataset | None = None
    commit: str | None = None
    release: str | None = None
    code_url: str | None = None
    computation_id: str | None = None
    is_new: bool = True


def creation_lineage(deployment: str, asset: DataAsset, capsule_id: str | None = None) -> TaskLineage:
    """Build the lineage of a new data asset. ``capsule_id`` is used if its provenance does not name one.

    The inputs of captured results are their code and the data assets that it read. If the results are stored
    in a bucket, that is a second output. For any other data asset, the bucket is the input, even if the files
    stay there.
    """
    namespace = uri_namespace(deployment)
    provenance, bucket = asset.provenance, asset.source_bucket
    computation = provenance.computation if provenance else None
    capsule_id = (provenance and provenance.capsule) or capsule_id
    commit = provenance.commit if provenance else None
    code = LineageDataset(namespace, uri_name("capsules", capsule_id), commit) if capsule_id else None
    data_asset_ids = [*(provenance.data_assets if provenance else ())]
    data_asset_ids += [contained.id for contained in asset.contained_data_assets]
    inputs = [
        code,
        LineageDataset(namespace, uri_name("computations", computation)) if computation else None,
        *(LineageDataset(namespace, uri_name("data_assets", id_)) for id_ in data_asset_ids if id_),
        None if computation else _bucket_location(bucket),
    ]
    return TaskLineage(
        inputs=_unique(inputs),
        outputs=_output_datasets(namespace, asset, _external_location(bucket) if computation else None),
        code=code,
        commit=commit,
        computation_id=computation,
    )


def transfer_lineage(deployment: str, asset: DataAsset, previous_bucket: SourceBucket | None) -> TaskLineage:
    """Build the lineage of a transfer."""
    namespace = uri_namespace(deployment)
    unversioned = LineageDataset(namespace, uri_name("data_assets", asset.id))
    return TaskLineage(
        inputs=(_external_location(previous_bucket) or unversioned,),
        outputs=_output_datasets(namespace, asset, _external_location(asset.source_bucket)),
        is_new=False,
    )


def run_lineage(
    deployment: str, computation: Computation, params: RunParams, *, code_url: str | None = None
) -> TaskLineage:
    """Build the lineage of a computation. Its results are an output if it has succeeded and left some."""
    namespace = uri_namespace(deployment)
    release = None if params.version is None else str(params.version)
    code_name = uri_name("capsules", params.capsule_id or params.pipeline_id or "")
    code = LineageDataset(namespace, code_name, release)
    data_assets = [
        LineageDataset(namespace, uri_name("data_assets", data_asset.id))
        for data_asset in computation.data_assets
        if data_asset.id
    ]
    has_succeeded = computation_outcome(computation) is Outcome.SUCCEEDED
    results = LineageDataset(namespace, uri_name("computations", computation.id))
    return TaskLineage(
        inputs=_unique([code, *data_assets]),
        outputs=(results,) if has_succeeded and computation.has_results is not False else (),
        code=code,
        release=release,
        code_url=code_url,
        computation_id=computation.id,
    )


def _output_datasets(
    namespace: str, asset: DataAsset, location: LineageDataset | None
) -> tuple[LineageDataset, ...]:
    name = uri_name("data_assets", asset.id)
    dataset = LineageDataset(namespace, name, data_asset_version(asset), asset=asset, location=location)
    return _unique([dataset, location])


def _external_location(bucket: SourceBucket | None) -> LineageDataset | None:
    return _bucket_location(bucket) if bucket and bucket.external else None


def _bucket_location(bucket: SourceBucket | None) -> LineageDataset | None:
    """Return a folder in a bucket, with OpenLineage's naming."""
    scheme = _URI_SCHEMES.get(bucket.origin or "") if bucket else None
    if bucket is None or scheme is None or not bucket.bucket:
        return None
    return LineageDataset(f"{scheme}://{bucket.bucket}", (bucket.prefix or "").strip("/") or "/")


def _unique(datasets: Iterable[LineageDataset | None]) -> tuple[LineageDataset, ...]:
    return tuple(dict.fromkeys(dataset for dataset in datasets if dataset is not None))
