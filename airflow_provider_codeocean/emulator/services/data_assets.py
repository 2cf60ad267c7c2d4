"""Operations on existing data assets."""

from dataclasses import replace

from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role
from airflow_provider_codeocean.emulator.domain.records import DataAsset, JsonObject, Transfer
from airflow_provider_codeocean.emulator.domain.requests import (
    Attachment,
    DataAssetUpdate,
    PermissionsUpdate,
    TransferParams,
)
from airflow_provider_codeocean.emulator.services.custom_metadata import merge_metadata
from airflow_provider_codeocean.emulator.services.session import Session
from airflow_provider_codeocean.emulator.state.access import find_data_asset


def read_data_asset(session: Session, asset_id: str) -> DataAsset:
    """Find a data asset and count the GET.

    :param session: the request's session.
    :param asset_id: id of the data asset.
    :returns: the data asset to report.
    """
    asset = find_data_asset(session.store, session.caller, asset_id)
    counted = asset.with_read_counted(session.now)
    if counted is not asset:
        session.store.data_assets.put(counted)
    return asset


def update_data_asset(session: Session, asset_id: str, update: DataAssetUpdate) -> DataAsset:
    """Change the description of a data asset.

    :param session: the request's session.
    :param asset_id: id of the data asset.
    :param update: the changes.
    :returns: the data asset after the change.
    """
    asset = find_data_asset(session.store, session.caller, asset_id, Role.OWNER)
    schema = session.emulator.config.custom_metadata
    changes = session.apply_write_quirks(update.model_dump(exclude_none=True))
    if session.match_quirk("clear_omitted"):
        changes = {"name": "", "description": "", "tags": [], "mount": ""} | changes
    if "custom_metadata" in changes:
        changes["custom_metadata"] = merge_metadata(schema, update.custom_metadata, asset.custom_metadata)
    return session.store.data_assets.put(replace(asset, **changes))


def delete_data_asset(session: Session, asset_id: str) -> None:
    """Delete a data asset and its own copy of the files.

    :param session: the request's session.
    :param asset_id: id of the data asset.
    """
    find_data_asset(session.store, session.caller, asset_id, Role.OWNER)
    with session.store.transaction():
        session.store.data_assets.delete(asset_id)
        session.store.files.delete_location(f"asset-{asset_id}")


def merge_permissions(session: Session, current: Permissions, update: PermissionsUpdate) -> Permissions:
    """Add or change permissions.

    :param session: the request's session.
    :param current: the current permissions.
    :param update: permissions to add or change.
    :returns: the permissions after the change. Like servers, it drops unknown groups silently.
    :raises ApiError: 400 for an unknown user.
    """
    directory = session.emulator.user_directory
    users: dict[str, str] = {grant.email: grant.role for grant in update.users or ()}
    unknown_emails = [email for email in users if directory.find_by_email(email) is None]
    if unknown_emails and not session.match_quirk("drop_users"):
        raise_bad_request(f"users: no user has the email {unknown_emails[0]!r}")
    for email in unknown_emails:
        del users[email]
    known_groups = directory.list_groups()
    groups: dict[str, str] = {
        grant.group: grant.role for grant in update.groups or () if grant.group in known_groups
    }
    return current.merged_with(users=users, groups=groups, everyone=update.everyone)


def share_data_assets(session: Session, asset_ids: list[str], update: PermissionsUpdate) -> None:
    """Add permissions on attached or contained data assets that the caller owns.

    :param session: the request's session.
    :param asset_ids: the data assets.
    :param update: permissions to add or change.
    """
    data_assets = session.store.data_assets
    for asset in filter(None, map(data_assets.get, asset_ids)):
        if session.caller.role_on(asset.permissions) >= Role.OWNER:
            data_assets.put(replace(asset, permissions=merge_permissions(session, asset.permissions, update)))


def transfer_data_asset(session: Session, asset_id: str, params: TransferParams) -> None:
    """Start moving the files of a data asset to another bucket. This cancels a running transfer.

    :param session: the request's session.
    :param asset_id: id of the data asset.
    :param params: the target.
    :raises ApiError: 400 for a bad target, or without `force` if a release pipeline uses the data asset; 403
        unless the caller is an admin.
    """
    asset = find_data_asset(session.store, session.caller, asset_id).with_finished_transfer(session.now)
    session.caller.require_admin("transfer data assets")
    target = params.target.aws
    if target is None:
        raise_bad_request("target.aws: is required")
    if asset.state(session.now) != "ready":
        raise_bad_request(f"data asset {asset_id} is not ready")
    if not params.force and (pipelines := _release_pipelines_using(session, asset_id)):
        raise_bad_request(
            f"force: is needed, the data asset is used by the release pipelines {', '.join(pipelines)}"
        )
    emulator = session.emulator
    destination = emulator.buckets.resolve_destination(target.bucket, target.prefix, asset_id)
    transfer = Transfer(work=emulator.start_work(emulator.transitions.transfers), **destination._asdict())
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


def attach_data_assets(
    session: Session, current: list[JsonObject], attachments: list[Attachment]
) -> tuple[list[JsonObject], list[JsonObject]]:
    """Attach data assets to a capsule or computation.

    :param session: the request's session.
    :param current: the attached data assets, each `{id, mount}`.
    :param attachments: data assets to attach.
    :returns: the attached data assets, and the response for each attachment.
    """
    assets = [
        find_data_asset(session.store, session.caller, attachment.id, Role.VIEWER)
        for attachment in attachments
    ]
    mounts = {attachment["id"]: attachment["mount"] for attachment in current}
    results: list[JsonObject] = []
    for attachment, asset in zip(attachments, assets, strict=True):
        mounts[asset.id] = attachment.mount or asset.mount
        ready = asset.state(session.now) == "ready"
        results.append(
            {
                "id": asset.id,
                "mount": mounts[asset.id],
                "mount_state": "mounted" if ready else "pending",
                "job_id": session.emulator.new_id(),
                "external": asset.with_finished_transfer(session.now).is_external,
                "ready": ready,
            }
        )
        session.store.data_assets.put(replace(asset, last_used=session.now))
    return [{"id": asset_id, "mount": mount} for asset_id, mount in mounts.items()], results


def detach_data_assets(current: list[JsonObject], asset_ids: list[str]) -> list[JsonObject]:
    """Detach data assets from a capsule or computation.

    :param current: the attached data assets.
    :param asset_ids: ids of the data assets to detach.
    :returns: the attached data assets.
    :raises ApiError: 400 for a data asset that is not attached.
    """
    missing = set(asset_ids) - {attachment["id"] for attachment in current}
    if missing:
        raise_bad_request(f"not attached: {', '.join(sorted(missing))}")
    return [attachment for attachment in current if attachment["id"] not in asset_ids]
