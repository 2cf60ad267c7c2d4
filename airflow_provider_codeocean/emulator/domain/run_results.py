"""The files that runs leave behind: a few small ones, at the top and in subfolders."""

import json
from collections.abc import Callable

from airflow_provider_codeocean.emulator.domain.config import ResultKind
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation

DERIVED_NAME = "ecephys_123456_2024-01-02_03-04-05_sorted_2024-01-03_04-05-06"
"""Name in `data_description.json`: what the derived data asset is to be called."""

FIGURE = """<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40">
<polyline points="0,35 20,30 40,12 60,20 80,5 100,18 120,10" fill="none" stroke="#1f6feb" stroke-width="2"/>
</svg>
"""


def result_files(kind: ResultKind, run: Computation, capsule: Capsule) -> dict[str, bytes]:
    """Make up the results of a run.

    :param kind: which files.
    :param run: the run, whose id and parameters appear in them.
    :param capsule: what was run.
    :returns: content by path.
    """
    return {path: text.encode() for path, text in _KINDS[kind](run, capsule).items()}


def _log(run: Computation, capsule: Capsule) -> dict[str, str]:
    arguments = " ".join(str(parameter["value"]) for parameter in run.parameters)
    ending = f"exit code {run.exit_code}" if run.exit_code else "done"
    return {"output": f"{capsule.name}, computation {run.id}\n+ code/run {arguments}\n{ending}\n"}


def _standard(run: Computation, capsule: Capsule) -> dict[str, str]:
    summary = {"computation": run.id, "parameters": run.parameters, "units": 3, "quality": "good"}
    return _log(run, capsule) | {
        "summary.json": json.dumps(summary, indent=2) + "\n",
        "tables/units.csv": "unit,rate_hz,label\n1,4.2,good\n2,11.7,good\n3,0.3,noise\n",
        # A name that needs every kind of escaping on its way through a URL.
        "figures/firing rate \u2013 unit #1 (50 %).svg": FIGURE,
    }


def _data_description(run: Computation, capsule: Capsule) -> dict[str, str]:
    description = {
        "name": DERIVED_NAME,
        "data_level": "derived",
        "subject_id": "123456",
        "input_data_name": DERIVED_NAME.split("_sorted_", maxsplit=1)[0],
        "process_name": "sorted",
        "creation_time": "2024-01-03T04:05:06Z",
        "platform": {"name": "Electrophysiology platform", "abbreviation": "ecephys"},
        "modality": [{"name": "Extracellular electrophysiology", "abbreviation": "ecephys"}],
        "institution": {"name": "Example Institute", "abbreviation": "EI"},
        "investigators": [{"name": "Ada Example"}],
    }
    return _standard(run, capsule) | {"data_description.json": json.dumps(description, indent=2) + "\n"}


_KINDS: dict[ResultKind, Callable[[Computation, Capsule], dict[str, str]]] = {
    "standard": _standard,
    "data_description": _data_description,
    "log": _log,
    "none": lambda _run, _capsule: {},
}
