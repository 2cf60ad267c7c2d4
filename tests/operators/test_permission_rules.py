"""Which permissions are missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.permissions import Permissions, PermissionsParams
from airflow_provider_codeocean.operators.permissions import missing_permissions

USERS = ("ana@lab.test", "Ben@lab.test")
GROUPS = ("imaging", "ecephys")


def missing(wanted, there):
    found = missing_permissions(PermissionsParams.model_validate(wanted), Permissions.model_validate(there))
    return None if found is None else found.to_json()


@pytest.mark.parametrize(
    ("wanted", "there", "sent"),
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
def test_only_the_difference_is_sent(wanted, there, sent):
    assert missing(wanted, there) == sent


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
def test_what_was_sent_is_not_missing_any_more(users, groups, everyone, has_users, has_groups, has_everyone):
    wanted = as_lists(users, groups, everyone)
    if not users and not groups and everyone is None:
        return
    sent = missing(wanted, as_lists(has_users, has_groups, has_everyone)) or {}
    then = as_lists(
        has_users | {each["email"]: each["role"] for each in sent.get("users", [])},
        has_groups | {each["group"]: each["role"] for each in sent.get("groups", [])},
        sent.get("everyone", has_everyone),
    )
    assert missing(wanted, then) is None
