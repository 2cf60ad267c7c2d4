"""What can be done with capsules and pipelines."""

from dataclasses import replace

from airflow_provider_codeocean.emulator.domain.errors import ApiError, bad_request, forbidden, not_found
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import Capsule, Json, ReleaseJob
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import find_capsule


def app_panel(session: Session, capsule: Capsule, version: int | None) -> Json:
    """Return the app panel of a capsule, with the data assets that are attached.

    :param session: of the request.
    :param capsule: the capsule.
    :param version: of which version; of the current code if not given.
    :returns: the payload.
    :raises ApiError: 404 if there is no such version.
    """
    if version is not None and not capsule.has_version(version):
        not_found(f"version of {capsule.kind} {capsule.id}", str(version))
    data_assets = []
    for attached in capsule.data_assets:
        asset = session.store.data_assets.get(attached["id"])
        if asset is None:
            continue
        internal_kind = "external" if asset.settled(session.now).external else "internal"
        data_assets.append(
            {
                **attached,
                "name": asset.name,
                "kind": "combined" if asset.type == "combined" else internal_kind,
                "accessible": session.caller.role(asset.permissions) >= Role.VIEWER,
            }
        )
    return {**capsule.app_panel, "data_assets": data_assets}


def delete_capsule(session: Session, kind: str, capsule_id: str) -> None:
    """Delete a capsule with its computations. Data assets captured from them stay.

    :param session: of the request.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: its id.
    :raises ApiError: 403 if it is not archived or was released.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
    if not capsule.archived:
        forbidden(f"{kind} {capsule_id} is not archived: archive it before you delete it")
    if capsule.release_capsule or capsule.status == "release":
        forbidden(f"{kind} {capsule_id} was released and cannot be deleted")
    with session.store.transaction():
        for computation in session.store.computations.all():
            if computation.capsule == capsule_id:
                session.store.computations.delete(computation.id)
                session.store.files.delete(computation.location)
        session.store.capsules.delete(capsule_id)


def sync(session: Session, kind: str, capsule_id: str) -> Json:
    """Bring a capsule and its linked Git repository together.

    :param session: of the request.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: its id.
    :returns: `{pulled}`; empty if nothing was new, as zero is left out.
    :raises ApiError: 400 if no repository is linked.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.EDITOR)
    if not capsule.cloned_from_url:
        bad_request(f"{kind} {capsule_id} is not linked to an external Git repository")
    session.store.capsules.put(replace(capsule, unpulled=0))
    return {"pulled": capsule.unpulled} if capsule.unpulled else {}


def start_release(session: Session, kind: str, capsule_id: str) -> ReleaseJob:
    """Start to release a new version of a released capsule.

    :param session: of the request.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: its id.
    :returns: the job.
    :raises ApiError: 400 if it has never been released, 403 with the requirements that are not met.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
    if capsule.release_capsule is None:
        bad_request(f"{kind} {capsule_id} has never been released: the first release is made in the app")
    runs = [run for run in session.store.computations.all() if run.capsule == capsule_id]
    if not any(run.state(session.now) == "completed" and run.end_status == "succeeded" for run in runs):
        raise ApiError(
            403, f"the {kind} does not meet the release requirements", {"missing_reproducible_run": True}
        )
    emulator, last = session.emulator, max(version["major_version"] for version in capsule.versions)
    work = emulator.begin(emulator.transitions.releases)
    job = ReleaseJob(
        id=emulator.new_id(),
        created=session.now,
        capsule=capsule_id,
        release_capsule=capsule.release_capsule,
        version={"major_version": last + 1, "minor_version": 0, "release_time": int(session.now)},
        work=work,
    )
    return session.store.releases.put(job)


def read_release(session: Session, kind: str, capsule_id: str, job_id: str) -> ReleaseJob:
    """Find a release job and count the GET; the first to see it completed publishes the version.

    :param session: of the request.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: its capsule.
    :param job_id: its id.
    :returns: the job as this GET sees it.
    """
    capsule = find_capsule(session.store, session.caller, kind, capsule_id)
    job = session.store.releases.get(job_id)
    if job is None or job.capsule != capsule_id:
        not_found("release job", job_id)
    with session.store.transaction():
        work = job.work.after_read(session.now)
        if work is not job.work:
            session.store.releases.put(replace(job, work=work))
        if job.work.finished(session.now):
            for published in filter(None, (capsule, session.store.capsules.get(job.release_capsule))):
                if job.version not in published.versions:
                    session.store.capsules.put(
                        replace(published, versions=[*published.versions, job.version])
                    )
    return job
