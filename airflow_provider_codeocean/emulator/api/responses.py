"""What clients get: the bodies of answers.

As today's servers do: what the SDK requires is always there, other fields that are empty are left out, times
are whole seconds. Lists that are the point of an answer (`results`, `items`) are never left out.
"""

from airflow_provider_codeocean.emulator.domain.clock import BEFORE_ALL_WORK
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import (
    Capsule,
    Computation,
    DataAsset,
    Json,
    ReleaseJob,
)

ORIGIN_OF_INTERNAL = {"origin": "local", "bucket": "", "prefix": ""}


def data_asset_payload(asset: DataAsset, moment: float, owner_email: str | None) -> Json:
    """Return a data asset as the API does.

    :param asset: the asset.
    :param moment: as of when, Unix seconds.
    :param owner_email: email of its owner.
    :returns: the payload.
    """
    asset = asset.settled(moment)
    state = asset.state(moment)
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
        "provenance": asset.provenance and _provenance(asset.provenance),
        "custom_metadata": asset.custom_metadata,
        "app_parameters": asset.app_parameters,
        "nextflow_profile": asset.nextflow_profile,
        "contained_data_assets": asset.contained,
        "last_transferred": asset.last_transferred and int(asset.last_transferred),
        "transfer_error": asset.transfer_error,
        "failure_reason": asset.failure_reason if state == "failed" else None,
    }
    return required | _given(optional)


def old_data_asset_payload(asset: DataAsset, moment: float, owner_email: str | None) -> Json:
    """Return a data asset as deployments of the 2.x line do.

    :param asset: the asset.
    :param moment: as of when, Unix seconds.
    :param owner_email: not known to that line.
    :returns: the payload.
    """
    modern = data_asset_payload(asset, moment, owner_email)
    provenance = asset.provenance or {}
    bucket = modern.get("source_bucket", ORIGIN_OF_INTERNAL)
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
    old_provenance = _given({old: provenance.get(name) for name, old in keys.items()})
    return {**payload, "provenance": old_provenance} if old_provenance else payload


def _provenance(provenance: Json) -> Json:
    # Only one of the two is shown, depending on the source.
    hidden = "capsule" if provenance.get("computation") else "computation"
    return _given({name: value for name, value in provenance.items() if name != hidden})


def computation_payload(computation: Computation, moment: float, owner_email: str | None) -> Json:
    """Return a computation as the API does.

    :param computation: the run.
    :param moment: as of when, Unix seconds.
    :param owner_email: email of its owner.
    :returns: the payload.
    """
    state = computation.state(moment)
    over = computation.work.finished(moment)
    completed = state == "completed"
    required = {
        "id": computation.id,
        "created": int(computation.created),
        "name": computation.name,
        "owner": computation.owner,
        "run_time": computation.run_time(moment),
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
    payload = required | _given(optional)
    # 0 is a value here, not an empty field.
    return (
        payload | {"exit_code": computation.exit_code}
        if completed and computation.exit_code is not None
        else payload
    )


def capsule_payload(capsule: Capsule, owner_email: str | None) -> Json:
    """Return a capsule or pipeline as the API does.

    :param capsule: the capsule.
    :param owner_email: email of its owner.
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
    credit = capsule.credits
    optional = {
        "owner_email": owner_email,
        "last_accessed": int(capsule.last_accessed),
        "article": _given(
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
        "release_capsule": capsule.release_capsule,
        "versions": capsule.versions,
    }
    return required | _given(optional)


def permissions_payload(permissions: Permissions) -> Json:
    """Return permissions as the API does.

    :param permissions: who may do what.
    :returns: the payload.
    """
    return {
        "users": [{"email": email, "role": role} for email, role in sorted(permissions.users.items())],
        "groups": [{"group": group, "role": role} for group, role in sorted(permissions.groups.items())],
        "everyone": permissions.everyone,
    }


def release_payload(job: ReleaseJob, moment: float) -> Json:
    """Return a release job as the API does.

    :param job: the job.
    :param moment: as of when, Unix seconds.
    :returns: the payload.
    """
    if moment == BEFORE_ALL_WORK:
        return {"job_id": job.id, "status": "created"}
    payload = {"job_id": job.id, "status": "started", "started": int(job.created)}
    if not job.work.finished(moment):
        return payload
    return {
        **payload,
        "status": "completed",
        "duration": int(job.work.finished_at - job.work.started),
        "release_capsule": job.release_capsule,
        "release_version": job.version,
    }


def _given(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value}
