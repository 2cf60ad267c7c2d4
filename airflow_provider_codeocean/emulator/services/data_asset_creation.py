"""Create data assets from results, buckets, workstations, and other data assets.

The outcome is decided at creation; the clock determines when it becomes visible.
"""

from dataclasses import dataclass, field, replace

from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.files import normalize_path
from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role
from airflow_provider_codeocean.emulator.domain.records import (
    Computation,
    DataAsset,
    JsonObject,
    external_source_bucket,
)
from airflow_provider_codeocean.emulator.domain.requests import (
    AwsSource,
    ComputationSource,
    DataAssetParams,
    GcpSource,
    ResultsInfo,
    Source,
    WorkstationSource,
)
from airflow_provider_codeocean.emulator.services.custom_metadata import merge_metadata
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import find_capsule, find_computation, find_data_asset
from airflow_provider_codeocean.emulator.state.buckets import INPUT_BUCKET, bucket_location
from airflow_provider_codeocean.emulator.state.deployment import Emulator

RUN_SCRIPT = "code/run"
"""Path of a capsule's run script."""


@dataclass(frozen=True, kw_only=True)
class ResolvedSource:
    """The resolved source of a new data asset.

    :param location: the file location of the source files.
    :param folder: folder or file in the location.
    :param in_place: whether the files stay in place instead of being copied.
    :param failure_reason: why the creation will fail; None if it will succeed.
    :param asset_fields: fields of the data asset that follow from the source.
    """

    location: str = ""
    folder: str = ""
    in_place: bool = False
    failure_reason: str | None = None
    asset_fields: JsonObject = field(default_factory=dict)


def create_data_asset(session: Session, params: DataAssetParams) -> DataAsset:
    """Create a data asset, initially a draft.

    :param session: the request's session.
    :param params: parameters of the data asset.
    :returns: the data asset.
    :raises ApiError: 400, 403, or 404 for errors that servers report immediately. With other errors, the
        creation fails later.
    """
    emulator, user = session.emulator, session.caller.user
    metadata = merge_metadata(emulator.config.custom_metadata, params.custom_metadata)
    origin = _resolve_source(session, params)
    asset_id = emulator.new_id()
    location, prefix = (origin.location, origin.folder) if origin.in_place else (f"asset-{asset_id}", "")
    failure_reason, fields = origin.failure_reason, origin.asset_fields
    if params.target and params.target.aws:
        destination = emulator.buckets.resolve_destination(
            params.target.aws.bucket, params.target.aws.prefix, asset_id
        )
        location, prefix, failure_reason = destination.location, destination.prefix, destination.error
        fields = {**fields, "source_bucket": external_source_bucket(destination.bucket, prefix)}
    asset = DataAsset(
        id=asset_id,
        created=session.now,
        mount=params.mount,
        owner=user.id,
        work=emulator.start_work(emulator.transitions.assets),
        location=location,
        prefix=prefix,
        failure_reason=failure_reason,
        description=params.description or "",
        custom_metadata=metadata,
        permissions=Permissions(users={user.email: "owner"}),
        **session.apply_write_quirks({"name": params.name, "tags": params.tags}),
        **fields,
    )
    with session.store.transaction():
        return session.store.data_assets.put(asset if failure_reason else _with_files(session, asset, origin))


def _with_files(session: Session, asset: DataAsset, source: ResolvedSource) -> DataAsset:
    """Copy the files to their location, and count them."""
    if not source.location:
        return replace(asset, size=sum(contained["size"] for contained in asset.contained_data_assets))
    files = session.store.files.list_files(source.location, source.folder)
    if not source.in_place:
        session.store.files.copy(source.location, source.folder, asset.location, asset.prefix)
    return replace(asset, files=len(files), size=sum(file.size for file in files))


def _resolve_source(session: Session, params: DataAssetParams) -> ResolvedSource:
    match params.source:
        case Source(aws=AwsSource() as aws):
            return _from_aws(session, aws, params.results_info)
        case Source(gcp=GcpSource() as gcp):
            # Credentials are ignored, so that they are stored nowhere.
            return _from_bucket(session.emulator, "gcp", gcp.bucket, gcp.prefix, anonymous=False)
        case Source(computation=ComputationSource() as computation):
            return _from_computation(session, computation)
        case Source(cloud_workstation=WorkstationSource() as workstation):
            return _from_workstation(session, workstation)
        case _:
            return _from_data_assets(session, params.data_asset_ids or [])


def _from_data_assets(session: Session, asset_ids: list[str]) -> ResolvedSource:
    contained = []
    for asset_id in asset_ids:
        asset = find_data_asset(session.store, session.caller, asset_id, Role.VIEWER)
        if asset.state(session.now) != "ready":
            raise_bad_request(f"data_asset_ids: data asset {asset_id} is not ready")
        contained.append({"id": asset.id, "mount": asset.mount, "size": asset.size})
    return ResolvedSource(asset_fields={"type": "combined", "contained_data_assets": contained})


def _from_computation(session: Session, source: ComputationSource) -> ResolvedSource:
    run = find_computation(session.store, session.caller, source.id)
    if run.cloud_workstation:
        raise_bad_request(
            "source.computation.id: a cloud workstation is captured with source.cloud_workstation"
        )
    if not run.work.is_finished(session.now):
        raise_bad_request(
            f"source.computation.id: computation {run.id} is {run.state(session.now)}, not completed"
        )
    if not run.has_results:
        raise_bad_request(f"source.computation.id: computation {run.id} has no results")
    fields = {
        "type": "result",
        "provenance": _build_provenance(session, run) | {"computation": run.id},
        "app_parameters": [
            {"name": parameter["name"] or parameter["param_name"], "value": parameter["value"]}
            for parameter in run.parameters
        ],
        "nextflow_profile": run.nextflow_profile,
    }
    folder = _require_path(session, run, source.path, "source.computation.path")
    return ResolvedSource(location=run.location, folder=folder, asset_fields=fields)


def _from_workstation(session: Session, source: WorkstationSource) -> ResolvedSource:
    run = find_computation(session.store, session.caller, source.id)
    if not run.cloud_workstation or run.work.is_finished(session.now):
        raise_bad_request(
            f"source.cloud_workstation.id: computation {run.id} is not a running cloud workstation"
        )
    fields: JsonObject = {"type": "dataset"}
    if source.run_script:
        provenance = _build_provenance(session, run) | {"run_script": source.run_script}
        fields = {"type": "result", "provenance": provenance}
    folder = _require_path(session, run, source.path, "source.cloud_workstation.path")
    return ResolvedSource(location=run.location, folder=folder, asset_fields=fields)


def _require_path(session: Session, computation: Computation, path: str | None, field_name: str) -> str:
    folder = normalize_path(path)
    if not session.store.files.list_files(computation.location, folder):
        raise_bad_request(f"{field_name}: there is nothing at {path!r}")
    return folder


def _build_provenance(session: Session, computation: Computation) -> JsonObject:
    capsule = session.store.capsules.get(computation.capsule_id)
    return {
        "commit": capsule and capsule.commit,
        "run_script": RUN_SCRIPT,
        "docker_image": capsule and capsule.docker_image,
        "capsule": computation.capsule_id,
        "data_assets": [attached["id"] for attached in computation.data_assets],
    }


def _from_aws(session: Session, source: AwsSource, info: ResultsInfo | None) -> ResolvedSource:
    bucket, anonymous = source.bucket or "", bool(source.public)
    if source.use_input_bucket:
        session.caller.require_admin("import from the input bucket")
        # Servers ignore all other properties except the prefix.
        bucket, anonymous = INPUT_BUCKET, False
    origin = _from_bucket(session.emulator, "aws", bucket, source.prefix, anonymous=anonymous)
    if source.keep_on_external_storage and not source.use_input_bucket:
        asset_fields = {**origin.asset_fields, "source_bucket": external_source_bucket(bucket, origin.folder)}
        origin = replace(origin, in_place=True, asset_fields=asset_fields)
    return (
        origin
        if info is None
        else replace(origin, asset_fields=origin.asset_fields | _results_info_fields(session, info))
    )


def _results_info_fields(session: Session, info: ResultsInfo) -> JsonObject:
    for kind, capsule_id in (("capsule", info.capsule_id), ("pipeline", info.pipeline_id)):
        if capsule_id:
            find_capsule(session.store, session.caller, kind, capsule_id)
    parameters = info.parameters or ()
    return {
        "type": "result",
        "provenance": {
            "commit": info.commit,
            "run_script": info.run_script,
            "capsule": info.capsule_id or info.pipeline_id,
            "data_assets": info.data_assets,
        },
        "app_parameters": [
            {"name": parameter.name or parameter.param_name, "value": parameter.value}
            for parameter in parameters
        ],
        "nextflow_profile": info.nextflow_profile,
    }


def _from_bucket(
    emulator: Emulator, provider: str, name: str, prefix: str | None, *, anonymous: bool
) -> ResolvedSource:
    folder = normalize_path(prefix)
    return ResolvedSource(
        location=bucket_location(name),
        folder=folder,
        failure_reason=emulator.buckets.find_read_error(provider, name, folder, anonymous=anonymous),
        asset_fields={
            "type": "dataset",
            "source_bucket": {"origin": provider, "bucket": name, "prefix": folder},
        },
    )
