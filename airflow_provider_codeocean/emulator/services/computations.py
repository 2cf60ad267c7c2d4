"""Running capsules and pipelines."""

from dataclasses import replace
from typing import Any

from airflow_provider_codeocean.emulator.domain.clock import Work
from airflow_provider_codeocean.emulator.domain.config import RunConfig
from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation, DataAsset, Json, User
from airflow_provider_codeocean.emulator.domain.requests import NamedParameter, RunParams
from airflow_provider_codeocean.emulator.domain.run_results import result_files
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import (
    find_capsule,
    find_computation,
    find_data_asset,
    may_see_run,
)
from airflow_provider_codeocean.emulator.state.deployment import Emulator


def run(session: Session, params: RunParams) -> Computation:
    """Start a run.

    :param session: of the request.
    :param params: what to run, and how.
    :returns: the computation, initializing.
    :raises ApiError: 400 or 404 for what cannot be run so.
    """
    kind = "capsule" if params.capsule_id else "pipeline"
    capsule_id = params.capsule_id or params.pipeline_id or ""
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
    if params.version is not None and not capsule.has_version(params.version):
        bad_request(f"version: {kind} {capsule_id} has no version {params.version}")
    if params.resume_run_id is not None:
        resumed = find_computation(session.store, session.caller, params.resume_run_id)
        if resumed.capsule != capsule.id:
            bad_request(f"resume_run_id: {params.resume_run_id} is not a run of {kind} {capsule_id}")
    inputs = _inputs(session, capsule, params)
    details: Json = {
        "data_assets": [{"id": asset.id, "mount": mount} for mount, asset in inputs.items()],
        "parameters": _own_parameters(session, capsule, params),
        "processes": _processes(capsule, params),
        "nextflow_profile": params.nextflow_profile,
    }
    emulator = session.emulator
    with session.store.transaction():
        session.store.capsules.put(replace(capsule, last_accessed=session.now))
        for asset in inputs.values():
            session.store.data_assets.put(replace(asset, last_used=session.now))
        return start_run(emulator, capsule, session.caller.user, **details)


def start_run(
    emulator: Emulator, capsule: Capsule, owner: User, *, work: Work | None = None, **details: Any
) -> Computation:
    """Store a computation and the results it will have.

    :param emulator: the deployment.
    :param capsule: what is run.
    :param owner: who runs it.
    :param work: how long it takes; what the capsule or the deployment says if not given.
    :param **details: further fields of the computation.
    :returns: the computation.
    """
    settings = RunConfig(**capsule.runs)
    work = work or emulator.begin(settings.policy or emulator.transitions.computations)
    run_id = emulator.new_id()
    named = "Run With Parameters" if details.get("parameters") else "Run"
    # Any error in a pipeline ends it with exit code 1.
    exit_code = min(settings.exit_code, 1) if capsule.kind == "pipeline" else settings.exit_code
    ending = {
        "crashed": settings.crash,
        "exit_code": None if settings.crash else exit_code,
        "end_status": "failed" if exit_code else "succeeded",
        "has_results": settings.results != "none",
    }
    defaults = {"created": work.started, "name": f"{named} {int(work.started) % 10**7:07d}", **ending}
    computation = Computation(
        id=run_id,
        owner=owner.id,
        capsule=capsule.id,
        work=work,
        location=f"run-{run_id}",
        **(defaults | details),
    )
    with emulator.store.transaction():
        if computation.has_results:
            for path, content in result_files(settings.results, computation, capsule).items():
                emulator.store.files.put(computation.location, path, content)
        return emulator.store.computations.put(computation)


def read_computation(session: Session, computation_id: str) -> Computation:
    """Find a computation and count the GET.

    :param session: of the request.
    :param computation_id: its id.
    :returns: the computation as this GET sees it.
    """
    computation = find_computation(session.store, session.caller, computation_id)
    counted = computation.after_read(session.now)
    if counted is not computation:
        session.store.computations.put(counted)
    return computation


def delete_computation(session: Session, computation_id: str) -> None:
    """Delete a computation with its results; one that runs is stopped. What was captured from it stays.

    :param session: of the request.
    :param computation_id: its id.
    """
    computation = find_computation(session.store, session.caller, computation_id)
    with session.store.transaction():
        session.store.computations.delete(computation.id)
        session.store.files.delete(computation.location)


def computations_of(session: Session, capsule: Capsule) -> list[Computation]:
    """List the runs of a capsule that the caller may see.

    :param session: of the request.
    :param capsule: the capsule.
    :returns: the newest first.
    """
    return [
        computation
        for computation in session.store.computations.all()
        if computation.capsule == capsule.id and may_see_run(session.store, session.caller, computation)
    ]


def running_workstation(session: Session, computation_id: str) -> Computation:
    """Find a cloud workstation to attach data assets to or detach them from.

    :param session: of the request.
    :param computation_id: its id.
    :returns: the workstation.
    :raises ApiError: 400 if it is something else.
    """
    computation = find_computation(session.store, session.caller, computation_id)
    if not computation.cloud_workstation or computation.work.finished(session.now):
        bad_request(f"computation {computation_id} is not a running cloud workstation")
    return computation


def _inputs(session: Session, capsule: Capsule, params: RunParams) -> dict[str, DataAsset]:
    """Return the data assets by mount: those of the capsule, replaced by what is given for the same mount."""
    shelf = session.store.data_assets
    attached = {one["mount"]: asset for one in capsule.data_assets if (asset := shelf.get(one["id"]))}
    given = {}
    for attachment in params.data_assets or ():
        asset = find_data_asset(session.store, session.caller, attachment.id, Role.VIEWER)
        if asset.state(session.now) != "ready":
            bad_request(f"data_assets: data asset {asset.id} is not ready")
        mount = attachment.mount or asset.mount
        replaced = attached.get(mount) if capsule.kind == "pipeline" else None
        if replaced and replaced.settled(session.now).external != asset.settled(session.now).external:
            bad_request(f"data_assets: {mount!r} takes an external data asset only for an external one")
        given[mount] = asset
    return attached | given


def _processes(capsule: Capsule, params: RunParams) -> list[Json]:
    given = {process.name: process for process in params.processes or ()}
    known = {process["name"] for process in capsule.processes}
    for name in given.keys() - known:
        bad_request(f"processes: {capsule.kind} {capsule.id} has no process {name!r}")
    processes = []
    for process in capsule.processes:
        own = given.get(process["name"])
        parameters = _parameters({}, own.parameters, own.named_parameters) if own else []
        processes.append({**process, "parameters": parameters} if parameters else process)
    return processes


def _own_parameters(session: Session, capsule: Capsule, params: RunParams) -> list[Json]:
    """Return the parameters that a computation reports; pipelines ignore those that name no process."""
    given = []
    if capsule.kind == "capsule":
        given = _parameters(capsule.app_panel, params.parameters, params.named_parameters)
    quirk = session.quirk("report_defaults")
    if quirk is None:
        return given
    panel = capsule.app_panel.get("parameters", [])
    defaults = {one["param_name"]: one["default_value"] for one in panel if one.get("default_value")}
    known = {parameter["param_name"] for parameter in given}
    further = [
        NamedParameter(param_name=name, value=str(value))
        for name, value in (defaults | (quirk.rule.body or {})).items()
        if name not in known
    ]
    return given + _parameters(capsule.app_panel, None, further)


def _parameters(app_panel: Json, ordered: list[str] | None, named: list[NamedParameter] | None) -> list[Json]:
    """Put the app panel's labels beside the values; what it does not know is passed on all the same."""
    panel = app_panel.get("parameters", [])
    labels = {parameter["param_name"]: parameter["name"] for parameter in panel}
    result: list[Json] = []
    for position, value in enumerate(ordered or ()):
        known = panel[position] if position < len(panel) else {"name": "", "param_name": ""}
        result.append({"name": known["name"], "param_name": known["param_name"], "value": value})
    for given in named or ():
        label = labels.get(given.param_name, "")
        result.append({"name": label, "param_name": given.param_name, "value": given.value})
    return result
