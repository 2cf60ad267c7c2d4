"""The page on scaling out names what is there."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airflow.configuration import conf

from tests.cluster import services

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parent.parent
PAGE = CHECKOUT / "docs" / "scale_out.md"
#: Options of the official Helm chart (chart/values.yaml of apache/airflow, with Airflow 3.1.3 as its default)
CHART = {
    "airflowVersion",
    "apiServer.replicas",
    "config",
    "data.metadataSecretName",
    "defaultAirflowRepository",
    "defaultAirflowTag",
    "executor",
    "postgresql.enabled",
    "scheduler.podDisruptionBudget.enabled",
    "scheduler.replicas",
    "secret",
    "triggerer.replicas",
    "triggerer.resources",
    "triggerer.terminationGracePeriodSeconds",
}
SECRET = {"envName", "secretName", "secretKey"}


def values() -> list[dict[str, Any]]:
    """The values for the Helm chart."""
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]


def options(tree: Any, path: str = "") -> Iterator[str]:
    """The options that values set, with dots, as far down as the chart names them."""
    if path in CHART or not isinstance(tree, dict):
        yield path
        return
    for key, value in tree.items():
        yield from options(value, f"{path}.{key}".lstrip("."))


@pytest.mark.parametrize("tree", values(), ids=",".join)
def test_scale_out_values_are_chart_options(tree):
    assert set(options(tree)) <= CHART
    assert [each.keys() for each in tree.get("secret", [])] in ([], [SECRET])


@pytest.mark.skipif(not version("apache-airflow").startswith("3.3"), reason="the page is of Airflow 3.3")
@pytest.mark.parametrize(
    ("section", "option"),
    [
        (section, option)
        for tree in values()
        for section, chosen in tree["config"].items()
        for option in chosen
    ],
)
def test_scale_out_config_options_exist_in_airflow(section, option):
    assert conf.has_option(section, option)


def test_contributing_lists_make_cluster_variables():
    guide = (CHECKOUT / "CONTRIBUTING.md").read_text()
    assert f"`{services.POSTGRES_URL_VARIABLE}`" in guide
    assert f"`{services.REDIS_URL_VARIABLE}`" in guide
