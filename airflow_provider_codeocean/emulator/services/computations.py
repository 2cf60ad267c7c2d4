"""Operations on computations."""

from dataclasses import replace
from typing import Any

from airflow_provider_codeocean.emulator.domain.clock import Work
from airflow_provider_codeocean.emulator.domain.config import RunConfig
from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import (
    Capsule,
    Computation,
    DataAsset,
    JsonObject,
    User,
)
from airflow_provider_codeocean.emulator.domain.requests import NamedParameter, RunParams
from airflow_provider_codeocean.emulator.domain.run_results import generate_result_files
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import (
    can_view_computation,
    find_capsule,
    find_computation,
    find_data_asset,
)
from airflow_provider_codeocean.emulator.state.deployment import Emulator


def run_capsule(session: Session, params: RunParams) -> Computation:
    """Start a run.

    :param session: the request's session.
    :param params: parameters of the run.
    :returns: the computation, in state `initializing`.
    :raises ApiError: 400 or 404 for invalid parameters.
    """
    kind = "capsule" if params.capsule_id else "pipeline"
    capsule_id = params.capsule_id or params.pipeline_id or ""
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
    if params.version is not None and not capsule.has_version(params.version):
        raise_bad_request(f"version: {kind} {capsule_id} has no version {params.version}")
    resumed = _find_resumed_run(session, capsule, params.resume_run_id)
    inputs = _resolve_inputs(session, capsule, params)
    details: JsonObject = {
        "data_assets": [{"id": asset.id, "mount": mount} for mount, asset in inputs.items()],
        "parameters": _reported_parameters(session, capsule, params),
        "processes": _resolve_processes(capsule, params),
        "nextflow_profile": params.nextflow_profile,
    }
    emulator = session.emulator
    with session.store.transaction():
        session.store.capsules.put(replace(capsule, last_accessed=session.now))
        for asset in inputs.values():
            session.store.data_assets.put(replace(asset, last_used=session.now))
        run = create_computation(emulator, capsule, session.caller.user, resumed=resumed, **details)
    emulator.traffic.record_run(run.executed_processes, is_resumed=resumed is not None)
    return run


def _find_resumed_run(session: Session, capsule: Capsule, resume_run_id: str | None) -> Computation | None:
    if resume_run_id is None:
        return None
    resumed = find_computation(session.store, session.caller, resume_run_id)
    if resumed.capsule_id != capsule.id:
        raise_bad_request(f"resume_run_id: {resume_run_id} is not a run of {capsule.kind} {capsule.id}")
    return resumed


def create_computation(
    emulator: Emulator,
    capsule: Capsule,
    owner: User,
    *,
    work: Work | None = None,
    resumed: Computation | None = None,
    **fields: Any,
) -> Computation:
    """Store a computation and its future results.

    :param emulator: the deployment.
    :param capsule: the capsule or pipeline.
    :param owner: the owner.
    :param work: its work; by default, with the duration that the capsule or the deployment defines.
    :param resumed: the run of the same pipeline that it resumes.
    :param **fields: additional fields of the computation.
    :returns: the computation.
    """
    run_config = RunConfig(**capsule.runs)
    work = work or emulator.start_work(run_config.policy or emulator.transitions.computations)
    run_id = emulator.new_id()
    name_prefix = "Run With Parameters" if fields.get("parameters") else "Run"
    executed, cached = _select_processes(capsule, run_config, resumed)
    exit_code = run_config.exit_code
    if capsule.kind == "pipeline":  # any error ends it with exit code 1
        exit_code = int(exit_code != 0 or (executed[-1:] == [run_config.failing_process] and resumed is None))
    outcome_fields = {
        "crashed": run_config.crash,
        "exit_code": None if run_config.crash else exit_code,
        "end_status": "failed" if exit_code else "succeeded",
        "has_results": run_config.results != "none",
        "executed_processes": executed,
        "cached_processes": cached,
        "resume_run_id": resumed.id if resumed else None,
    }
    defaults = {
        "created": work.started_at,
        "name": f"{name_prefix} {int(work.started_at) % 10**7:07d}",
        **outcome_fields,
    }
    computation = Computation(
        id=run_id,
        owner=owner.id,
        capsule_id=capsule.id,
        work=work,
        location=f"run-{run_id}",
        **(defaults | fields),
    )
    with emulator.store.transaction():
        if computation.has_results:
            for path, content in generate_result_files(run_config.results, computation, capsule).items():
                emulator.store.files.put(computation.location, path, content)
        return emulator.store.computations.put(computation)


def _select_processes(
    capsule: Capsule, run_config: RunConfig, resumed: Computation | None
) -> tuple[list[str], list[str]]:
    """Return the names of the processes that a run executes, and of those whose results it takes over."""
    names = [process["name"] for process in capsule.processes]
    failing = names.index(run_config.failing_process) if run_config.failing_process in names else len(names)
    if resumed is None:
        return names[: failing + 1], []
    done = {*resumed.executed_processes, *resumed.cached_processes}
    if resumed.exit_code != 0:
        done.difference_update(resumed.executed_processes[-1:])
    return [name for name in names if name not in done], [name for name in names if name in done]


def read_computation(session: Session, computation_id: str) -> Computation:
    """Find a computation and count the GET.

    :param session: the request's session.
    :param computation_id: id of the computation.
    :returns: the computation to report.
    """
    computation = find_computation(session.store, session.caller, computation_id)
    counted = computation.with_read_counted(session.now)
    if counted is not computation:
        session.store.computations.put(counted)
    return computation


def delete_computation(session: Session, computation_id: str) -> None:
    """Delete a computation and its results, but not captured data assets. A running one is stopped.

    :param session: the request's session.
    :param computation_id: id of the computation.
    """
    computation = find_computation(session.store, session.caller, computation_id)
    with session.store.transaction():
        session.store.computations.delete(computation.id)
        session.store.files.delete_location(computation.location)


def list_visible_computations(session: Session, capsule: Capsule) -> list[Computation]:
    """List the computations of a capsule that the caller may see.

    :param session: the request's session.
    :param capsule: the capsule.
    :returns: the computations, newest first.
    """
    return [
        computation
        for computation in session.store.computations.all()
        if computation.capsule_id == capsule.id
        and can_view_computation(session.store, session.caller, computation)
    ]


def get_running_workstation(session: Session, computation_id: str) -> Computation:
    """Return a running cloud workstation.

    :param session: the request's session.
    :param computation_id: id of the computation.
    :returns: the workstation.
    :raises ApiError: 400 if the computation is no running cloud workstation.
    """
    computation = find_computation(session.store, session.caller, computation_id)
    if not computation.cloud_workstation or computation.work.is_finished(session.now):
        raise_bad_request(f"computation {computation_id} is not a running cloud workstation")
    return computation


def _resolve_inputs(session: Session, capsule: Capsule, params: RunParams) -> dict[str, DataAsset]:
    """Map mounts to data assets; requested ones replace the capsule's on the same mount."""
    data_assets = session.store.data_assets
    attached = {
        attachment["mount"]: asset
        for attachment in capsule.data_assets
        if (asset := data_assets.get(attachment["id"]))
    }
    requested = {}
    for attachment in params.data_assets or ():
        asset = find_data_asset(session.store, session.caller, attachment.id, Role.VIEWER)
        if asset.state(session.now) != "ready":
            raise_bad_request(f"data_assets: data asset {asset.id} is not ready")
        mount = attachment.mount or asset.mount
        replaced = attached.get(mount) if capsule.kind == "pipeline" else None
        if (
            replaced
            and replaced.with_finished_transfer(session.now).is_external
            != asset.with_finished_transfer(session.now).is_external
        ):
            raise_bad_request(f"data_assets: {mount!r} takes an external data asset only for an external one")
        requested[mount] = asset
    return attached | requested


def _resolve_processes(capsule: Capsule, params: RunParams) -> list[JsonObject]:
    requested = {process.name: process for process in params.processes or ()}
    known_names = {process["name"] for process in capsule.processes}
    for name in requested.keys() - known_names:
        raise_bad_request(f"processes: {capsule.kind} {capsule.id} has no process {name!r}")
    processes = []
    for process in capsule.processes:
        process_params = requested.get(process["name"])
        parameters = (
            _label_parameters({}, process_params.parameters, process_params.named_parameters)
            if process_params
            else []
        )
        processes.append({**process, "parameters": parameters} if parameters else process)
    return processes


def _reported_parameters(session: Session, capsule: Capsule, params: RunParams) -> list[JsonObject]:
    """Return the parameters that a computation reports; pipelines ignore parameters without a process."""
    reported = []
    if capsule.kind == "capsule":
        reported = _label_parameters(capsule.app_panel, params.parameters, params.named_parameters)
    quirk = session.match_quirk("report_defaults")
    if quirk is None:
        return reported
    panel = capsule.app_panel.get("parameters", [])
    defaults = {
        parameter["param_name"]: parameter["default_value"]
        for parameter in panel
        if parameter.get("default_value")
    }
    reported_names = {parameter["param_name"] for parameter in reported}
    additional = [
        NamedParameter(param_name=name, value=str(value))
        for name, value in (defaults | (quirk.rule.body or {})).items()
        if name not in reported_names
    ]
    return reported + _label_parameters(capsule.app_panel, None, additional)


def _label_parameters(
    app_panel: JsonObject, ordered: list[str] | None, named: list[NamedParameter] | None
) -> list[JsonObject]:
    """Add the App Panel's labels to the values; keep unknown parameters."""
    panel = app_panel.get("parameters", [])
    labels = {parameter["param_name"]: parameter["name"] for parameter in panel}
    result: list[JsonObject] = []
    for position, value in enumerate(ordered or ()):
        parameter = panel[position] if position < len(panel) else {"name": "", "param_name": ""}
        result.append({"name": parameter["name"], "param_name": parameter["param_name"], "value": value})
    for named_parameter in named or ():
        label = labels.get(named_parameter.param_name, "")
        result.append(
            {"name": label, "param_name": named_parameter.param_name, "value": named_parameter.value}
        )
    return result
