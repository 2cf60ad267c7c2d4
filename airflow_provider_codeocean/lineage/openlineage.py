"""What data a task has read and made, in OpenLineage's words; the extra ``openlineage`` is for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    from airflow_provider_codeocean.lineage.model import Flow, Node

#: What tags say that they come from.
_SOURCE = "CODE_OCEAN"


def operator_lineage(flow: Flow | None) -> OperatorLineage[Any, Any]:
    """Tell OpenLineage what a task has read and made.

    :param flow: what it has; None tells nothing.
    :returns: datasets and facets.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    if flow is None:
        return OperatorLineage()
    return OperatorLineage(
        inputs=[_input(node) for node in flow.inputs],
        outputs=[_output(node, is_new=flow.is_new) for node in flow.outputs],
        run_facets=_run_facets(flow),
        job_facets=_job_facets(flow),
    )


def _input(node: Node) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(node.namespace, node.name, facets=_version(node))


def _output(node: Node, *, is_new: bool) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import lifecycle_state_change_dataset, output_statistics_output_dataset

    change = lifecycle_state_change_dataset.LifecycleStateChange
    facets: dict[str, Any] = {
        **_version(node),
        **_description(node),
        "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=change.CREATE if is_new else change.ALTER
        ),
    }
    statistics: dict[str, Any] = {}
    if node.asset and (node.asset.size is not None or node.asset.files is not None):
        statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            size=node.asset.size, fileCount=node.asset.files
        )
    return OutputDataset(node.namespace, node.name, facets=facets, outputFacets=statistics)


def _version(node: Node) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    if node.version is None:
        return {}
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=node.version)}


def _description(node: Node) -> dict[str, Any]:
    """Tell what a data asset is called, whose it is, and where its files lie."""
    from openlineage.client.facet_v2 import documentation_dataset, ownership_dataset, symlinks_dataset

    facets: dict[str, Any] = {}
    asset, place = node.asset, node.place
    if asset and (asset.name or asset.description):
        facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(
            description="\n\n".join(filter(None, [asset.name, asset.description]))
        )
    if asset and asset.owner:
        facets["ownership"] = ownership_dataset.OwnershipDatasetFacet(
            owners=[ownership_dataset.Owner(name=f"user:{asset.owner}", type="OWNER")]
        )
    if place:
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet(
            identifiers=[symlinks_dataset.Identifier(place.namespace, place.name, type="LOCATION")]
        )
    return facets


def _job_facets(flow: Flow) -> dict[str, Any]:
    """Tell which code made it: a capsule is a Git repository."""
    from openlineage.client.facet_v2 import source_code_location_job

    if flow.code is None:
        return {}
    return {
        "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet(
            type="git", url=flow.page or flow.code.uri, version=flow.commit, tag=flow.release
        )
    }


def _run_facets(flow: Flow) -> dict[str, Any]:
    """Tell which computation it was, and what is known of its code, also where that is not all."""
    from openlineage.client.facet_v2 import tags_run

    known = {"computation": flow.computation, "commit": flow.commit, "version": flow.release}
    tags = [
        tags_run.TagsRunFacetFields(f"codeocean_{name}", value, _SOURCE)
        for name, value in known.items()
        if value
    ]
    return {"tags": tags_run.TagsRunFacet(tags=tags)} if tags else {}
