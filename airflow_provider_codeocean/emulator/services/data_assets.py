"""What can be done with data assets that exist."""

from dataclasses import replace

from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role
from airflow_provider_codeocean.emulator.domain.records import DataAsset, Json, Transfer
from airflow_provider_codeocean.emulator.domain.requests import (
    Attachment,
    DataAssetUpdate,
    PermissionsUpdate,
    TransferParams,
)
from airflow_provider_codeocean.emulator.services.custom_metadata import checked_metadata
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import find_data_asset


def read_data_asset(session: Session, asset_id: str) -> DataAsset:
    """Find a data asset and count the GET.

    :param session: of the request.
    :param asset_id: its id.
    :returns: the asset as this GET sees it.
    """
    asset = find_data_asset(session.store, session.caller, asset_id)
    counted = asset.after_read(session.now)
    if counted is not asset:
        session.store.data_assets.put(counted)
    return asset


def update_data_asset(session: Session, asset_id: str, update: DataAssetUpdate) -> DataAsset:
    """Change the description of a data asset.

    :param session: of the request.
    :param asset_id: its id.
    :param update: what to change.
    :returns: the asset after the change.
    """
    asset = find_data_asset(session.store, session.caller, asset_id, Role.OWNER)
    schema = session.emulator.config.custom_metadata
    changes = session.stored(update.model_dump(exclude_none=True))
    if session.quirk("clear_omitted"):
        changes = {"name": "", "description": "", "tags": [], "mount": ""} | changes
    if "custom_metadata" in changes:
        changes["custom_metadata"] = checked_metadata(schema, update.custom_metadata, asset.custom_metadata)
    return session.store.data_assets.put(replace(asset, **changes))


def delete_data_asset(session: Session, asset_id: str) -> None:
    """Delete a data asset and the files that are its own.

    :param session: of the request.
    :param asset_id: its id.
    """
    find_data_asset(session.store, session.caller, asset_id, Role.OWNER)
    with session.store.transaction():
        session.store.data_assets.delete(asset_id)
        session.store.files.delete(f"asset-{asset_id}")


def update_permissions(session: Session, current: Permissions, update: PermissionsUpdate) -> Permissions:
    """Add to or change permissions.

    :param session: of the request.
    :param current: what is there.
    :param update: what to add or change.
    :returns: the permissions after the change; unknown groups are dropped silently, as servers do.
    :raises ApiError: 400 for an unknown user.
    """
    directory = session.emulator.directory
    users: dict[str, str] = {given.email: given.role for given in update.users or ()}
    unknown = [email for email in users if directory.by_email(email) is None]
    if unknown and not session.quirk("drop_users"):
        bad_request(f"users: no user has the email {unknown[0]!r}")
    for email in unknown:
        del users[email]
    known_groups = directory.groups()
    groups: dict[str, str] = {
        given.group: given.role for given in update.groups or () if given.group in known_groups
    }
    return current.merged(users=users, groups=groups, everyone=update.everyone)


def share_data_assets(session: Session, asset_ids: list[str], update: PermissionsUpdate) -> None:
    """Give permissions on attached or contained data assets too, where the caller owns them.

    :param session: of the request.
    :param asset_ids: the data assets.
    :param update: what to add or change.
    """
    shelf = session.store.data_assets
    for asset in filter(None, map(shelf.get, asset_ids)):
        if session.caller.role(asset.permissions) >= Role.OWNER:
            shelf.put(replace(asset, permissions=update_permissions(session, asset.permissions, update)))


def transfer_data_asset(session: Session, asset_id: str, params: TransferParams) -> None:
    """Start to move the files of a data asset to another bucket; a transfer under way is given up.

    :param session: of the request.
    :param asset_id: its id.
    :param params: where to.
    :raises ApiError: 400 for a bad target, or without `force` where a release pipeline uses the asset; 403
        for all but admins, be it the owner.
    """
    asset = find_data_asset(session.store, session.caller, asset_id).settled(session.now)
    session.caller.require_admin("transfer data assets")
    target = params.target.aws
    if target is None:
        bad_request("target.aws: is required")
    if asset.state(session.now) != "ready":
        bad_request(f"data asset {asset_id} is not ready")
    if not params.force and (users := _release_pipelines_using(session, asset_id)):
        bad_request(f"force: is needed, the data asset is used by the release pipelines {', '.join(users)}")
    emulator = session.emulator
    destination = emulator.buckets.destination(target.bucket, target.prefix, asset_id)
    transfer = Transfer(work=emulator.begin(emulator.transitions.transfers), **destination._asdict())
    with session.store.transaction():
        if destination.error is None:
            session.store.files.copy(asset.location, asset.prefix, destination.location, destination.prefix)
        session.store.data_assets.put(replace(asset, transfer=transfer))


def _release_pipelines_using(session: Session, asset_id: str) -> list[str]:
    return [
        capsule.name
        for capsule in session.store.capsules.all()
        if capsule.kind == "pipeline"
        and capsule.status == "release"
        and any(attached["id"] == asset_id for attached in capsule.data_assets)
    ]


def attached(
    session: Session, current: list[Json], attachments: list[Attachment]
) -> tuple[list[Json], list[Json]]:
    """Attach data assets to a capsule or computation.

    :param session: of the request.
    :param current: what is attached, `{id, mount}` each.
    :param attachments: what to attach.
    :returns: what is attached then, and the answer for each attachment.
    """
    found = [find_data_asset(session.store, session.caller, one.id, Role.VIEWER) for one in attachments]
    mounts = {one["id"]: one["mount"] for one in current}
    results: list[Json] = []
    for attachment, asset in zip(attachments, found, strict=True):
        mounts[asset.id] = attachment.mount or asset.mount
        ready = asset.state(session.now) == "ready"
        results.append(
            {
                "id": asset.id,
                "mount": mounts[asset.id],
                "mount_state": "mounted" if ready else "pending",
                "job_id": session.emulator.new_id(),
                "external": asset.settled(session.now).external,
                "ready": ready,
            }
        )
        session.store.data_assets.put(replace(asset, last_used=session.now))
    return [{"id": asset_id, "mount": mount} for asset_id, mount in mounts.items()], results


def detached(current: list[Json], asset_ids: list[str]) -> list[Json]:
    """Detach data assets from a capsule or computation.

    :param current: what is attached.
    :param asset_ids: what to detach.
    :returns: what is attached then.
    :raises ApiError: 400 for a data asset that is not attached.
    """
    missing = set(asset_ids) - {one["id"] for one in current}
    if missing:
        bad_request(f"not attached: {', '.join(sorted(missing))}")
    return [one for one in current if one["id"] not in asset_ids]
