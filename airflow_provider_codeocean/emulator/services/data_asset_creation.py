"""Making data assets: from results, buckets, workstations and other data assets.

What will become of an asset is known when it is made; the clock decides when it shows.
"""

from dataclasses import dataclass, field, replace

from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.files import clean_path
from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role
from airflow_provider_codeocean.emulator.domain.records import Computation, DataAsset, Json, external_bucket
from airflow_provider_codeocean.emulator.domain.requests import (
    AwsSource,
    ComputationSource,
    DataAssetParams,
    GcpSource,
    ResultsInfo,
    Source,
    WorkstationSource,
)
from airflow_provider_codeocean.emulator.services.custom_metadata import checked_metadata
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import find_capsule, find_computation, find_data_asset
from airflow_provider_codeocean.emulator.state.buckets import INPUT_BUCKET, bucket_location
from airflow_provider_codeocean.emulator.state.deployment import Emulator

RUN_SCRIPT = "code/run"
"""What a capsule executes."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a new data asset comes from.

    :param location: the file location that holds its files.
    :param folder: which folder of it, or which file.
    :param stays: the files are not copied.
    :param failure_reason: why the asset will fail.
    :param fields: what follows for the data asset.
    """

    location: str = ""
    folder: str = ""
    stays: bool = False
    failure_reason: str | None = None
    fields: Json = field(default_factory=dict)


def create_data_asset(session: Session, params: DataAssetParams) -> DataAsset:
    """Make a data asset, a draft at first.

    :param session: of the request.
    :param params: what is wanted.
    :returns: the asset.
    :raises ApiError: 400, 403 or 404 for what a server refuses at once; the rest makes the asset fail.
    """
    emulator, user = session.emulator, session.caller.user
    metadata = checked_metadata(emulator.config.custom_metadata, params.custom_metadata)
    origin = _origin(session, params)
    asset_id = emulator.new_id()
    location, prefix = (origin.location, origin.folder) if origin.stays else (f"asset-{asset_id}", "")
    failure_reason, fields = origin.failure_reason, origin.fields
    if params.target and params.target.aws:
        destination = emulator.buckets.destination(
            params.target.aws.bucket, params.target.aws.prefix, asset_id
        )
        location, prefix, failure_reason = destination.location, destination.prefix, destination.error
        fields = {**fields, "source_bucket": external_bucket(destination.bucket, prefix)}
    asset = DataAsset(
        id=asset_id,
        created=session.now,
        mount=params.mount,
        owner=user.id,
        work=emulator.begin(emulator.transitions.assets),
        location=location,
        prefix=prefix,
        failure_reason=failure_reason,
        description=params.description or "",
        custom_metadata=metadata,
        permissions=Permissions(users={user.email: "owner"}),
        **session.stored({"name": params.name, "tags": params.tags}),
        **fields,
    )
    with session.store.transaction():
        return session.store.data_assets.put(asset if failure_reason else _filled(session, asset, origin))


def _filled(session: Session, asset: DataAsset, origin: Origin) -> DataAsset:
    """Bring the files to where they belong, and count them."""
    if not origin.location:
        return replace(asset, size=sum(contained["size"] for contained in asset.contained))
    files = session.store.files.tree(origin.location, origin.folder)
    if not origin.stays:
        session.store.files.copy(origin.location, origin.folder, asset.location, asset.prefix)
    return replace(asset, files=len(files), size=sum(file.size for file in files))


def _origin(session: Session, params: DataAssetParams) -> Origin:
    match params.source:
        case Source(aws=AwsSource() as aws):
            return _from_aws(session, aws, params.results_info)
        case Source(gcp=GcpSource() as gcp):
            # The credentials are not looked at, so that they are nowhere kept.
            return _from_bucket(session.emulator, "gcp", gcp.bucket, gcp.prefix, anonymous=False)
        case Source(computation=ComputationSource() as computation):
            return _from_computation(session, computation)
        case Source(cloud_workstation=WorkstationSource() as workstation):
            return _from_workstation(session, workstation)
        case _:
            return _combined(session, params.data_asset_ids or [])


def _combined(session: Session, asset_ids: list[str]) -> Origin:
    contained = []
    for asset_id in asset_ids:
        asset = find_data_asset(session.store, session.caller, asset_id, Role.VIEWER)
        if asset.state(session.now) != "ready":
            bad_request(f"data_asset_ids: data asset {asset_id} is not ready")
        contained.append({"id": asset.id, "mount": asset.mount, "size": asset.size})
    return Origin(fields={"type": "combined", "contained": contained})


def _from_computation(session: Session, source: ComputationSource) -> Origin:
    run = find_computation(session.store, session.caller, source.id)
    if run.cloud_workstation:
        bad_request("source.computation.id: a cloud workstation is captured with source.cloud_workstation")
    if not run.work.finished(session.now):
        bad_request(f"source.computation.id: computation {run.id} is {run.state(session.now)}, not completed")
    if not run.has_results:
        bad_request(f"source.computation.id: computation {run.id} has no results")
    fields = {
        "type": "result",
        "provenance": _provenance(session, run) | {"computation": run.id},
        "app_parameters": [
            {"name": parameter["name"] or parameter["param_name"], "value": parameter["value"]}
            for parameter in run.parameters
        ],
        "nextflow_profile": run.nextflow_profile,
    }
    folder = _existing(session, run, source.path, "source.computation.path")
    return Origin(location=run.location, folder=folder, fields=fields)


def _from_workstation(session: Session, source: WorkstationSource) -> Origin:
    run = find_computation(session.store, session.caller, source.id)
    if not run.cloud_workstation or run.work.finished(session.now):
        bad_request(f"source.cloud_workstation.id: computation {run.id} is not a running cloud workstation")
    fields: Json = {"type": "dataset"}
    if source.run_script:
        provenance = _provenance(session, run) | {"run_script": source.run_script}
        fields = {"type": "result", "provenance": provenance}
    folder = _existing(session, run, source.path, "source.cloud_workstation.path")
    return Origin(location=run.location, folder=folder, fields=fields)


def _existing(session: Session, run: Computation, path: str | None, field_name: str) -> str:
    folder = clean_path(path)
    if not session.store.files.tree(run.location, folder):
        bad_request(f"{field_name}: there is nothing at {path!r}")
    return folder


def _provenance(session: Session, run: Computation) -> Json:
    capsule = session.store.capsules.get(run.capsule)
    return {
        "commit": capsule and capsule.commit,
        "run_script": RUN_SCRIPT,
        "docker_image": capsule and capsule.docker_image,
        "capsule": run.capsule,
        "data_assets": [attached["id"] for attached in run.data_assets],
    }


def _from_aws(session: Session, source: AwsSource, info: ResultsInfo | None) -> Origin:
    bucket, anonymous = source.bucket or "", bool(source.public)
    if source.use_input_bucket:
        session.caller.require_admin("import from the input bucket")
        # All properties but the prefix are ignored then.
        bucket, anonymous = INPUT_BUCKET, False
    origin = _from_bucket(session.emulator, "aws", bucket, source.prefix, anonymous=anonymous)
    if source.keep_on_external_storage and not source.use_input_bucket:
        kept = {**origin.fields, "source_bucket": external_bucket(bucket, origin.folder)}
        origin = replace(origin, stays=True, fields=kept)
    return origin if info is None else replace(origin, fields=origin.fields | _lineage(session, info))


def _lineage(session: Session, info: ResultsInfo) -> Json:
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
        "app_parameters": [{"name": one.name or one.param_name, "value": one.value} for one in parameters],
        "nextflow_profile": info.nextflow_profile,
    }


def _from_bucket(
    emulator: Emulator, origin: str, name: str, prefix: str | None, *, anonymous: bool
) -> Origin:
    folder = clean_path(prefix)
    return Origin(
        location=bucket_location(name),
        folder=folder,
        failure_reason=emulator.buckets.why_not_readable(origin, name, folder, anonymous=anonymous),
        fields={"type": "dataset", "source_bucket": {"origin": origin, "bucket": name, "prefix": folder}},
    )
