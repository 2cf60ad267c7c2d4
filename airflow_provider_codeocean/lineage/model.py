"""What data a task has read and made, as far as Code Ocean tells.

:mod:`~airflow_provider_codeocean.lineage.openlineage` makes OpenLineage's facets of it, and
:mod:`~airflow_provider_codeocean.lineage.hook_lineage` tells Airflow's hook-level lineage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_codeocean.assets import name_of, namespace_of, version_of
from airflow_provider_codeocean.outcomes import Verdict, computation_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_codeocean.api.models.computation import Computation, RunParams
    from airflow_provider_codeocean.api.models.data_asset import DataAsset, SourceBucket

#: Object stores, by what Code Ocean calls the origin of a bucket.
_STORES = {"aws": "s3", "gcp": "gs"}


@dataclass(frozen=True)
class Node:
    """What data comes from, or goes to.

    :param namespace: where it is: a deployment of Code Ocean, or a bucket.
    :param name: what it is called there.
    :param version: tells one state of it from another.
    :param asset: the data asset, where all of it is known.
    :param place: where in an object store its files were brought to.
    """

    namespace: str
    name: str
    version: str | None = None
    asset: DataAsset | None = field(default=None, compare=False, repr=False)
    place: Node | None = None

    @property
    def uri(self) -> str:
        """The URI of its asset."""
        return f"{self.namespace}/{self.name.lstrip('/')}"


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What a task has read and made.

    :param inputs: what it has read.
    :param outputs: what it has made.
    :param code: the capsule or pipeline that was run, where that is told.
    :param commit: commit of its code.
    :param release: released version of its code.
    :param page: address of the code's page, where it is known.
    :param computation: id of the computation.
    :param is_new: whether what was made is new, or was there and has been moved.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    code: Node | None = None
    commit: str | None = None
    release: str | None = None
    page: str | None = None
    computation: str | None = None
    is_new: bool = True


def of_creation(deployment: str, asset: DataAsset, capsule_id: str | None = None) -> Flow:
    """Tell what a data asset was made of.

    The results of a computation are made by its code, of what it has read. Where they are stored in a bucket,
    that is made as well; for any other data asset, its bucket is what it was made of, even where the files
    stay there.

    :param deployment: address of the deployment.
    :param asset: the data asset.
    :param capsule_id: capsule or pipeline that made it, where the data asset does not tell.
    :returns: the flow.
    """
    here = namespace_of(deployment)
    made_by, place = asset.provenance, _place(asset.source_bucket)
    computation = made_by.computation if made_by else None
    capsule_id = (made_by and made_by.capsule) or capsule_id
    commit = made_by.commit if made_by else None
    code = Node(here, name_of("capsules", capsule_id), commit) if capsule_id else None
    read = [*(made_by.data_assets if made_by else ()), *(each.id for each in asset.contained_data_assets)]
    inputs = [
        code,
        Node(here, name_of("computations", computation)) if computation else None,
        *(Node(here, name_of("data_assets", each)) for each in read if each),
        None if computation else place,
    ]
    return Flow(
        inputs=_known(inputs),
        outputs=_made(here, asset, _own_place(asset.source_bucket) if computation else None),
        code=code,
        commit=commit,
        computation=computation,
    )


def of_transfer(deployment: str, asset: DataAsset, came_from: SourceBucket | None) -> Flow:
    """Tell where the files of a data asset were moved from, and where to.

    :param deployment: address of the deployment.
    :param asset: the data asset, after they were moved.
    :param came_from: its bucket before.
    :returns: the flow.
    """
    here = namespace_of(deployment)
    itself = Node(here, name_of("data_assets", asset.id))
    return Flow(
        inputs=(_own_place(came_from) or itself,),
        outputs=_made(here, asset, _own_place(asset.source_bucket)),
        is_new=False,
    )


def of_run(deployment: str, computation: Computation, asked: RunParams, *, page: str | None = None) -> Flow:
    """Tell what a computation has read, and that it has left results where it is over and has.

    :param deployment: address of the deployment.
    :param computation: the computation.
    :param asked: what was run.
    :param page: address of its page, where it is known.
    :returns: the flow.
    """
    here = namespace_of(deployment)
    release = None if asked.version is None else str(asked.version)
    code = Node(here, name_of("capsules", asked.capsule_id or asked.pipeline_id or ""), release)
    read = [Node(here, name_of("data_assets", each.id)) for each in computation.data_assets if each.id]
    left_results = (
        computation_verdict(computation) is Verdict.SUCCEEDED and computation.has_results is not False
    )
    results = Node(here, name_of("computations", computation.id))
    return Flow(
        inputs=_known([code, *read]),
        outputs=(results,) if left_results else (),
        code=code,
        release=release,
        page=page,
        computation=computation.id,
    )


def _made(here: str, asset: DataAsset, place: Node | None) -> tuple[Node, ...]:
    """Return a data asset, and the place that its files were brought to."""
    itself = Node(here, name_of("data_assets", asset.id), version_of(asset), asset=asset, place=place)
    return _known([itself, place])


def _own_place(bucket: SourceBucket | None) -> Node | None:
    """Return where the files of a data asset lie, None where that is in Code Ocean."""
    return _place(bucket) if bucket and bucket.external else None


def _place(bucket: SourceBucket | None) -> Node | None:
    """Return a folder in a bucket, as OpenLineage names it."""
    store = _STORES.get(bucket.origin or "") if bucket else None
    if bucket is None or store is None or not bucket.bucket:
        return None
    return Node(f"{store}://{bucket.bucket}", (bucket.prefix or "").strip("/") or "/")


def _known(nodes: Iterable[Node | None]) -> tuple[Node, ...]:
    """Leave out what is not known, and what is there twice."""
    return tuple(dict.fromkeys(node for node in nodes if node is not None))
