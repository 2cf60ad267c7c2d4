"""Operations on capsules and pipelines."""

from dataclasses import replace

from airflow_provider_codeocean.emulator.domain.errors import (
    ApiError,
    raise_bad_request,
    raise_forbidden,
    raise_not_found,
)
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import Capsule, JsonObject, ReleaseJob
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import find_capsule


def build_app_panel(session: Session, capsule: Capsule, version: int | None) -> JsonObject:
    """Return the App Panel of a capsule, with the attached data assets.

    :param session: the request's session.
    :param capsule: the capsule.
    :param version: the version; the current code by default.
    :returns: the payload.
    :raises ApiError: 404 if the version does not exist.
    """
    if version is not None and not capsule.has_version(version):
        raise_not_found(f"version of {capsule.kind} {capsule.id}", str(version))
    data_assets = []
    for attached in capsule.data_assets:
        asset = session.store.data_assets.get(attached["id"])
        if asset is None:
            continue
        internal_kind = "external" if asset.with_finished_transfer(session.now).is_external else "internal"
        data_assets.append(
            {
                **attached,
                "name": asset.name,
                "kind": "combined" if asset.type == "combined" else internal_kind,
                "accessible": session.caller.role_on(asset.permissions) >= Role.VIEWER,
            }
        )
    return {**capsule.app_panel, "data_assets": data_assets}


def delete_capsule(session: Session, kind: str, capsule_id: str) -> None:
    """Delete a capsule and its computations, but not data assets captured from them.

    :param session: the request's session.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: id of the capsule.
    :raises ApiError: 403 if the capsule is not archived or has been released.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
    if not capsule.archived:
        raise_forbidden(f"{kind} {capsule_id} is not archived: archive it before you delete it")
    if capsule.release_capsule_id or capsule.status == "release":
        raise_forbidden(f"{kind} {capsule_id} was released and cannot be deleted")
    with session.store.transaction():
        for computation in session.store.computations.all():
            if computation.capsule_id == capsule_id:
                session.store.computations.delete(computation.id)
                session.store.files.delete_location(computation.location)
        session.store.capsules.delete(capsule_id)


def sync_with_git(session: Session, kind: str, capsule_id: str) -> JsonObject:
    """Synchronize a capsule with its linked Git repository.

    :param session: the request's session.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: id of the capsule.
    :returns: `{pulled}`; empty if there were no new commits, as zero is omitted.
    :raises ApiError: 400 if no repository is linked.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.EDITOR)
    if not capsule.cloned_from_url:
        raise_bad_request(f"{kind} {capsule_id} is not linked to an external Git repository")
    session.store.capsules.put(replace(capsule, unpulled_commits=0))
    return {"pulled": capsule.unpulled_commits} if capsule.unpulled_commits else {}


def start_release(session: Session, kind: str, capsule_id: str) -> ReleaseJob:
    """Start releasing a new version of a released capsule.

    :param session: the request's session.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: id of the capsule.
    :returns: the job.
    :raises ApiError: 400 if the capsule has never been released, 403 with the unmet requirements.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
    if capsule.release_capsule_id is None:
        raise_bad_request(
            f"{kind} {capsule_id} has never been released: the first release is made in the app"
        )
    runs = [run for run in session.store.computations.all() if run.capsule_id == capsule_id]
    if not any(run.state(session.now) == "completed" and run.end_status == "succeeded" for run in runs):
        raise ApiError(
            403, f"the {kind} does not meet the release requirements", {"missing_reproducible_run": True}
        )
    emulator, last = session.emulator, max(version["major_version"] for version in capsule.versions)
    work = emulator.start_work(emulator.transitions.releases)
    job = ReleaseJob(
        id=emulator.new_id(),
        created=session.now,
        capsule_id=capsule_id,
        release_capsule_id=capsule.release_capsule_id,
        version={"major_version": last + 1, "minor_version": 0, "release_time": int(session.now)},
        work=work,
    )
    return session.store.releases.put(job)


def read_release(session: Session, kind: str, capsule_id: str, job_id: str) -> ReleaseJob:
    """Find a release job and count the GET; the first GET after completion publishes the version.

    :param session: the request's session.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: id of the capsule.
    :param job_id: id of the job.
    :returns: the job to report.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id)
    job = session.store.releases.get(job_id)
    if job is None or job.capsule_id != capsule_id:
        raise_not_found("release job", job_id)
    with session.store.transaction():
        work = job.work.with_read_counted(session.now)
        if work is not job.work:
            session.store.releases.put(replace(job, work=work))
        if job.work.is_finished(session.now):
            for published in filter(None, (capsule, session.store.capsules.get(job.release_capsule_id))):
                if job.version not in published.versions:
                    session.store.capsules.put(
                        replace(published, versions=[*published.versions, job.version])
                    )
    return job
