"""OpenLineage's datasets and facets, validated by its own classes."""

from __future__ import annotations

import subprocess
import sys

from openlineage.client.serde import Serde

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.lineage.model import LineageDataset, TaskLineage, creation_lineage
from airflow_provider_codeocean.lineage.openlineage import operator_lineage

HERE = "codeocean://co"


def plain(value):
    """Return the facets as sent, without producer and schema."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not key.startswith("_")}
    return [plain(item) for item in value] if isinstance(value, list) else value


def told(flow):
    return plain(Serde.to_dict(operator_lineage(flow)))


def test_operator_lineage_without_lineage_is_empty():
    assert told(None) == {"inputs": [], "outputs": [], "run_facets": {}, "job_facets": {}}


def test_operator_lineage_of_data_asset_contains_all_facets():
    asset = {
        "id": "a",
        "name": "sorted",
        "description": "by hand",
        "owner": "o",
        "created": 5,
        "size": 0,
        "files": 2,
        "provenance": {"computation": "c", "commit": "abc", "capsule": "k"},
        "source_bucket": {"origin": "aws", "bucket": "b", "prefix": "p", "external": True},
    }
    change = {"lifecycleStateChange": "CREATE"}
    assert told(creation_lineage("https://co", DataAsset.model_validate(asset))) == {
        "inputs": [
            {
                "namespace": HERE,
                "name": "capsules/k",
                "facets": {"version": {"datasetVersion": "abc"}},
                "inputFacets": {},
            },
            {"namespace": HERE, "name": "computations/c", "facets": {}, "inputFacets": {}},
        ],
        "outputs": [
            {
                "namespace": HERE,
                "name": "data_assets/a",
                "facets": {
                    "version": {"datasetVersion": "5"},
                    "documentation": {"description": "sorted\n\nby hand"},
                    "ownership": {"owners": [{"name": "user:o", "type": "OWNER"}]},
                    "symlinks": {"identifiers": [{"namespace": "s3://b", "name": "p", "type": "LOCATION"}]},
                    "lifecycleStateChange": change,
                },
                "outputFacets": {"outputStatistics": {"size": 0, "fileCount": 2}},
            },
            {
                "namespace": "s3://b",
                "name": "p",
                "facets": {"lifecycleStateChange": change},
                "outputFacets": {},
            },
        ],
        "run_facets": {
            "tags": {
                "tags": [
                    {"key": "codeocean_computation", "value": "c", "source": "CODE_OCEAN"},
                    {"key": "codeocean_commit", "value": "abc", "source": "CODE_OCEAN"},
                ]
            }
        },
        "job_facets": {
            "sourceCodeLocation": {"type": "git", "url": f"{HERE}/capsules/k", "version": "abc"},
        },
    }


def test_operator_lineage_with_unknown_values_omits_facets():
    asset = DataAsset.model_validate({"id": "a"})
    (output,) = told(creation_lineage("https://co", asset))["outputs"]
    assert output["facets"].keys() == {"lifecycleStateChange"}
    assert output["outputFacets"] == {}


def test_operator_lineage_of_run_links_page_and_release():
    code = LineageDataset(HERE, "capsules/k", "3")
    flow = TaskLineage(
        inputs=(code,), outputs=(), code=code, release="3", code_url="https://co/capsule/1/tree"
    )
    location = told(flow)["job_facets"]["sourceCodeLocation"]
    assert location == {"type": "git", "url": "https://co/capsule/1/tree", "tag": "3"}


def test_operators_do_not_import_openlineage():
    modules = "operators.data_asset", "operators.computation", "operators.transfer", "assets"
    imports = "; ".join(f"import airflow_provider_codeocean.{name}" for name in modules)
    program = f"import sys; {imports}; sys.exit('openlineage' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
