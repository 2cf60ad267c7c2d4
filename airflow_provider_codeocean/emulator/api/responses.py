"""Response bodies.

As with current servers, fields that the SDK requires are always present, other empty fields are omitted, and
times are whole seconds. The main lists of a response (`results`, `items`) are never omitted.
"""

from airflow_provider_codeocean.emulator.domain.clock import BEFORE_START
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import (
    Capsule,
    Computation,
    DataAsset,
    JsonObject,
    ReleaseJob,
)

INTERNAL_SOURCE_BUCKET = {"origin": "local", "bucket": "", "prefix": ""}


def data_asset_payload(asset: DataAsset, timestamp: float, owner_email: str | None) -> JsonObject:
    """Return the API's payload for a data asset.

    :param asset: the data asset.
    :param timestamp: the time to report the state for, in Unix seconds.
    :param owner_email: email of the owner.
    :returns: the payload.
    """
    asset = asset.with_finished_transfer(timestamp)
    state = asset.state(timestamp)
    ready = state == "ready"
    required = {
        "id": asset.id,
        "created": int(asset.created),
        "name": asset.name,
        "mount": asset.mount,
        "last_used": int(asset.last_used),
        "owner": asset.owner,
        "state": state,
        "type": asset.type,
    }
    optional = {
        "owner_email": owner_email,
        "description": asset.description,
        "tags": asset.tags,
        "files": asset.files if ready else None,
        "size": asset.size if ready else None,
        "source_bucket": asset.source_bucket,
        "provenance": asset.provenance and _provenance_payload(asset.provenance),
        "custom_metadata": asset.custom_metadata,
        "app_parameters": asset.app_parameters,
        "nextflow_profile": asset.nextflow_profile,
        "contained_data_assets": asset.contained_data_assets,
        "last_transferred": asset.last_transferred and int(asset.last_transferred),
        "transfer_error": asset.transfer_error,
        "failure_reason": asset.failure_reason if state == "failed" else None,
    }
    return required | _drop_empty(optional)


def legacy_data_asset_payload(asset: DataAsset, timestamp: float, owner_email: str | None) -> JsonObject:
    """Return the payload for a data asset in the format of 2.x deployments.

    :param asset: the data asset.
    :param timestamp: the time to report the state for, in Unix seconds.
    :param owner_email: ignored; 2.x deployments do not report it.
    :returns: the payload.
    """
    modern = data_asset_payload(asset, timestamp, owner_email)
    provenance = asset.provenance or {}
    bucket = modern.get("source_bucket", INTERNAL_SOURCE_BUCKET)
    payload = {
        "created": modern["created"],
        "description": asset.description,
        "files": modern.get("files", 0),
        "id": asset.id,
        "lastUsed": modern["last_used"],
        "name": asset.name,
        "sizeInBytes": modern.get("size", 0),
        "sourceBucket": {name: bucket[name] for name in ("bucket", "origin", "prefix")},
        "state": f"DATA_ASSET_STATE_{modern['state'].upper()}",
        "tags": asset.tags,
        "type": f"DATA_ASSET_TYPE_{asset.type.upper()}",
    }
    keys = {
        "commit": "commit",
        "run_script": "runScript",
        "docker_image": "DockerImage",
        "capsule": "Capsule",
        "data_assets": "DataAssets",
    }
    old_provenance = _drop_empty({old: provenance.get(name) for name, old in keys.items()})
    return {**payload, "provenance": old_provenance} if old_provenance else payload


def _provenance_payload(provenance: JsonObject) -> JsonObject:
    # Depending on the source, only one of the two is reported.
    hidden = "capsule" if provenance.get("computation") else "computation"
    return _drop_empty({name: value for name, value in provenance.items() if name != hidden})


def computation_payload(computation: Computation, timestamp: float, owner_email: str | None) -> JsonObject:
    """Return the API's payload for a computation.

    :param computation: the computation.
    :param timestamp: the time to report the state for, in Unix seconds.
    :param owner_email: email of the owner.
    :returns: the payload.
    """
    state = computation.state(timestamp)
    over = computation.work.is_finished(timestamp)
    completed = state == "completed"
    required = {
        "id": computation.id,
        "created": int(computation.created),
        "name": computation.name,
        "owner": computation.owner,
        "run_time": computation.run_time_seconds(timestamp),
        "state": state,
        "has_results": over and computation.has_results,
    }
    optional = {
        "owner_email": owner_email,
        "cloud_workstation": computation.cloud_workstation,
        "data_assets": computation.data_assets,
        "parameters": computation.parameters,
        "nextflow_profile": computation.nextflow_profile,
        "processes": computation.processes,
        "end_status": computation.end_status if completed else None,
    }
    payload = required | _drop_empty(optional)
    # 0 is a value, not an empty field.
    return (
        payload | {"exit_code": computation.exit_code}
        if completed and computation.exit_code is not None
        else payload
    )


def capsule_payload(capsule: Capsule, owner_email: str | None) -> JsonObject:
    """Return the API's payload for a capsule or pipeline.

    :param capsule: the capsule.
    :param owner_email: email of the owner.
    :returns: the payload.
    """
    required = {
        "id": capsule.id,
        "created": int(capsule.created),
        "name": capsule.name,
        "status": capsule.status,
        "owner": capsule.owner,
        "slug": capsule.slug,
    }
    credit = capsule.credit_fields
    optional = {
        "owner_email": owner_email,
        "last_accessed": int(capsule.last_accessed),
        "article": _drop_empty(
            {
                "name": credit.get("article"),
                "journal_name": credit.get("journal"),
                "DOI": credit.get("doi"),
            }
        ),
        "cloned_from_url": capsule.cloned_from_url,
        "description": capsule.description,
        "field": capsule.research_field,
        "tags": capsule.tags,
        "original_capsule": capsule.original_capsule,
        "release_capsule": capsule.release_capsule_id,
        "versions": capsule.versions,
    }
    return required | _drop_empty(optional)


def permissions_payload(permissions: Permissions) -> JsonObject:
    """Return the API's payload for permissions.

    :param permissions: the permissions.
    :returns: the payload.
    """
    return {
        "users": [{"email": email, "role": role} for email, role in sorted(permissions.users.items())],
        "groups": [{"group": group, "role": role} for group, role in sorted(permissions.groups.items())],
        "everyone": permissions.everyone,
    }


def release_payload(job: ReleaseJob, timestamp: float) -> JsonObject:
    """Return the API's payload for a release job.

    :param job: the job.
    :param timestamp: the time to report the state for, in Unix seconds.
    :returns: the payload.
    """
    if timestamp == BEFORE_START:
        return {"job_id": job.id, "status": "created"}
    payload = {"job_id": job.id, "status": "started", "started": int(job.created)}
    if not job.work.is_finished(timestamp):
        return payload
    return {
        **payload,
        "status": "completed",
        "duration": int(job.work.finished_at - job.work.started_at),
        "release_capsule": job.release_capsule_id,
        "release_version": job.version,
    }


def _drop_empty(fields: JsonObject) -> JsonObject:
    return {name: value for name, value in fields.items() if value}
