"""The DAGs of ``dags/``, of which Airflow is shown the one that is run.

``dag.test()`` writes down all DAGs that its files show; that took most of the time of these tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, Param

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The environment variable with the id of the DAG that is run; all are shown where it is not there.
SHOWN = "DAG_THAT_IS_SHOWN"


def one_of(dags: list[DAG], dag_id: str, *, params: Mapping[str, Any], **options: Any) -> DAG:
    """Make a DAG and list it.

    :param dags: the list of those of the same file.
    :param dag_id: its id.
    :param params: its params, by name, and their values where a run has no others.
    :param options: further arguments of the DAG.
    """
    made = DAG(
        dag_id,
        schedule=None,
        params={name: Param(value) for name, value in params.items()},
        auto_register=os.environ.get(SHOWN, dag_id) == dag_id,
        **options,
    )
    dags.append(made)
    return made
