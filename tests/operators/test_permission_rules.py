"""The permissions to add to the current ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.permissions import Permissions, PermissionsParams
from airflow_provider_codeocean.operators.permissions import permissions_to_add

USERS = ("ana@lab.test", "Ben@lab.test")
GROUPS = ("imaging", "ecephys")


def missing(wanted, current):
    requested = PermissionsParams.model_validate(wanted)
    to_send = permissions_to_add(requested, Permissions.model_validate(current))
    return None if to_send is None else to_send.to_json()


@pytest.mark.parametrize(
    ("wanted", "current", "sent"),
    [
        ({"everyone": "viewer"}, {"everyone": "viewer"}, None),
        ({"everyone": "none"}, {}, None),
        ({"everyone": "none"}, {"everyone": "viewer"}, {"everyone": "none"}),
        (
            {"users": [{"email": "ana@lab.test", "role": "viewer"}]},
            {"users": [{"email": "ANA@lab.test", "role": "viewer"}]},
            None,
        ),
        (
            {"users": [{"email": "ana@lab.test", "role": "editor"}], "everyone": "viewer"},
            {"users": [{"email": "ana@lab.test", "role": "viewer"}], "everyone": "viewer"},
            {"users": [{"email": "ana@lab.test", "role": "editor"}]},
        ),
        (
            {"everyone": "viewer", "share_assets": True},
            {"everyone": "viewer"},
            {"everyone": "viewer", "share_assets": True},
        ),
        ({"everyone": "viewer", "share_assets": True}, {"everyone": "viewer", "share_assets": True}, None),
        ({"everyone": "viewer", "share_assets": False}, {"everyone": "viewer", "share_assets": True}, None),
    ],
)
def test_permissions_to_add_returns_difference_only(wanted, current, sent):
    assert missing(wanted, current) == sent


users = st.dictionaries(st.sampled_from(USERS), st.sampled_from(["owner", "editor", "viewer"]))
groups = st.dictionaries(
    st.sampled_from(GROUPS), st.sampled_from(["owner", "editor", "viewer", "discoverable"])
)
everyone = st.sampled_from([None, "viewer", "discoverable", "none"])


def as_lists(users, groups, everyone):
    return {
        "users": [{"email": email, "role": role} for email, role in users.items()],
        "groups": [{"group": group, "role": role} for group, role in groups.items()],
        "everyone": everyone,
    }


@given(users, groups, everyone, users, groups, everyone)
def test_permissions_to_add_after_sending_returns_none(
    users, groups, everyone, has_users, has_groups, has_everyone
):
    wanted = as_lists(users, groups, everyone)
    if not users and not groups and everyone is None:
        return
    sent = missing(wanted, as_lists(has_users, has_groups, has_everyone)) or {}
    then = as_lists(
        has_users | {grant["email"]: grant["role"] for grant in sent.get("users", [])},
        has_groups | {grant["group"]: grant["role"] for grant in sent.get("groups", [])},
        sent.get("everyone", has_everyone),
    )
    assert missing(wanted, then) is None
