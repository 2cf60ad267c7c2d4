"""Telling Airflow which assets a task has read and made through the hook."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_codeocean.compat.assets import hook_lineage_collector

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.lineage.model import Flow

log = logging.getLogger(__name__)


def collect(hook: CodeOceanHook, flow: Callable[[], Flow]) -> None:
    """Tell Airflow's collector of hook-level lineage, where a plugin reads what it collects.

    :param hook: what has read and made them.
    :param flow: tells what.
    """
    try:
        collector = hook_lineage_collector()
        if collector is None:
            return
        told = flow()
        for node in told.inputs:
            collector.add_input_asset(hook, uri=node.uri)
        for node in told.outputs:
            collector.add_output_asset(hook, uri=node.uri)
    except Exception as error:  # noqa: BLE001 - what the task has done counts, whoever is told of it
        log.warning("Airflow could not be told what was read and made: %s", error)
