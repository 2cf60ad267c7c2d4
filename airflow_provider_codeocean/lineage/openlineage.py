"""Convert a task's lineage to OpenLineage. The module requires the extra ``openlineage``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    documentation_dataset,
    lifecycle_state_change_dataset,
    output_statistics_output_dataset,
    ownership_dataset,
    source_code_location_job,
    symlinks_dataset,
    tags_run,
)

if TYPE_CHECKING:
    from airflow_provider_codeocean.lineage.model import LineageDataset, TaskLineage

#: Value of ``source`` in tags.
_TAG_SOURCE = "CODE_OCEAN"


def operator_lineage(lineage: TaskLineage | None) -> OperatorLineage[Any, Any]:
    """Convert a task's lineage; None stands for none."""
    if lineage is None:
        return OperatorLineage()
    return OperatorLineage(
        inputs=[
            InputDataset(dataset.namespace, dataset.name, facets=_version_facet(dataset))
            for dataset in lineage.inputs
        ],
        outputs=[_output_dataset(dataset, is_new=lineage.is_new) for dataset in lineage.outputs],
        run_facets=_run_facets(lineage),
        job_facets=_job_facets(lineage),
    )


def _output_dataset(dataset: LineageDataset, *, is_new: bool) -> OutputDataset:
    change = lifecycle_state_change_dataset.LifecycleStateChange
    facets: dict[str, Any] = {
        **_version_facet(dataset),
        "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=change.CREATE if is_new else change.ALTER
        ),
    }
    statistics: dict[str, Any] = {}
    asset, location = dataset.asset, dataset.location
    if asset and (asset.name or asset.description):
        facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(
            description="\n\n".join(filter(None, [asset.name, asset.description]))
        )
    if asset and asset.owner:
        facets["ownership"] = ownership_dataset.OwnershipDatasetFacet(
            owners=[ownership_dataset.Owner(name=f"user:{asset.owner}", type="OWNER")]
        )
    if asset and (asset.size is not None or asset.files is not None):
        statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            size=asset.size, fileCount=asset.files
        )
    if location:
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet(
            identifiers=[symlinks_dataset.Identifier(location.namespace, location.name, type="LOCATION")]
        )
    return OutputDataset(dataset.namespace, dataset.name, facets=facets, outputFacets=statistics)


def _version_facet(dataset: LineageDataset) -> dict[str, Any]:
    if dataset.version is None:
        return {}
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=dataset.version)}


def _job_facets(lineage: TaskLineage) -> dict[str, Any]:
    if lineage.code is None:
        return {}
    return {
        "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet(
            type="git", url=lineage.code_url or lineage.code.uri, version=lineage.commit, tag=lineage.release
        )
    }


def _run_facets(lineage: TaskLineage) -> dict[str, Any]:
    values = {"computation": lineage.computation_id, "commit": lineage.commit, "version": lineage.release}
    tags = [
        tags_run.TagsRunFacetFields(f"codeocean_{name}", value, _TAG_SOURCE)
        for name, value in values.items()
        if value
    ]
    return {"tags": tags_run.TagsRunFacet(tags=tags)} if tags else {}
