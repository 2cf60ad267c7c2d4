"""The result files of computations: a few small ones, at the top level and in subfolders."""

import json
from collections.abc import Callable

from airflow_provider_codeocean.emulator.domain.config import ResultKind
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation

DERIVED_ASSET_NAME = "ecephys_123456_2024-01-02_03-04-05_sorted_2024-01-03_04-05-06"
"""Field of `data_description.json` with the name of the derived data asset."""

FIGURE_SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40">
<polyline points="0,35 20,30 40,12 60,20 80,5 100,18 120,10" fill="none" stroke="#1f6feb" stroke-width="2"/>
</svg>
"""


def generate_result_files(kind: ResultKind, computation: Computation, capsule: Capsule) -> dict[str, bytes]:
    """Generate the result files of a computation.

    :param kind: kind of the files.
    :param computation: the computation; the files contain its id and parameters.
    :param capsule: the capsule or pipeline.
    :returns: content by path.
    """
    return {path: text.encode() for path, text in _GENERATORS[kind](computation, capsule).items()}


def _log_files(computation: Computation, capsule: Capsule) -> dict[str, str]:
    arguments = " ".join(str(parameter["value"]) for parameter in computation.parameters)
    processes = [f"[cached] {name}" for name in computation.cached_processes]
    processes += [f"[executed] {name}" for name in computation.executed_processes]
    if computation.exit_code and computation.executed_processes:
        processes.append(f"Error executing process '{computation.executed_processes[-1]}'")
    ending = f"exit code {computation.exit_code}" if computation.exit_code else "done"
    lines = [
        f"{capsule.name}, computation {computation.id}",
        f"+ code/run {arguments}",
        *processes,
        ending,
    ]
    return {"output": "".join(f"{line}\n" for line in lines)}


def _standard_files(computation: Computation, capsule: Capsule) -> dict[str, str]:
    summary = {
        "computation": computation.id,
        "parameters": computation.parameters,
        "units": 3,
        "quality": "good",
    }
    return _log_files(computation, capsule) | {
        "summary.json": json.dumps(summary, indent=2) + "\n",
        "tables/units.csv": "unit,rate_hz,label\n1,4.2,good\n2,11.7,good\n3,0.3,noise\n",
        # A name with all kinds of characters that need escaping in a URL.
        "figures/firing rate \u2013 unit #1 (50 %).svg": FIGURE_SVG,
    }


def _data_description_files(computation: Computation, capsule: Capsule) -> dict[str, str]:
    description = {
        "name": DERIVED_ASSET_NAME,
        "data_level": "derived",
        "subject_id": "123456",
        "input_data_name": DERIVED_ASSET_NAME.split("_sorted_", maxsplit=1)[0],
        "process_name": "sorted",
        "creation_time": "2024-01-03T04:05:06Z",
        "platform": {"name": "Electrophysiology platform", "abbreviation": "ecephys"},
        "modality": [{"name": "Extracellular electrophysiology", "abbreviation": "ecephys"}],
        "institution": {"name": "Example Institute", "abbreviation": "EI"},
        "investigators": [{"name": "Ada Example"}],
    }
    return _standard_files(computation, capsule) | {
        "data_description.json": json.dumps(description, indent=2) + "\n"
    }


_GENERATORS: dict[ResultKind, Callable[[Computation, Capsule], dict[str, str]]] = {
    "standard": _standard_files,
    "data_description": _data_description_files,
    "log": _log_files,
    "none": lambda _run, _capsule: {},
}
