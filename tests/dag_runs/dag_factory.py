"""Create the DAGs of ``dags/``, and register only the one that is run.

``dag.test()`` stores all registered DAGs of a file, which took most of the time of these tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, Param

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Environment variable with the id of the only DAG to register. If it is not set, all are registered.
DAG_ID_VARIABLE = "DAG_THAT_IS_SHOWN"


def build_dag(dags: list[DAG], dag_id: str, *, params: Mapping[str, Any], **options: Any) -> DAG:
    """Create a DAG and add it to a list.

    :param dags: list of the DAGs of the same file.
    :param dag_id: id of the DAG.
    :param params: default values of params, by name.
    :param options: further arguments of the DAG.
    """
    dag = DAG(
        dag_id,
        schedule=None,
        params={name: Param(value) for name, value in params.items()},
        auto_register=os.environ.get(DAG_ID_VARIABLE, dag_id) == dag_id,
        **options,
    )
    dags.append(dag)
    return dag
