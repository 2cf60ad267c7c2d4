"""Permissions: how they are read, and what may be set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_codeocean.api.models.permissions import (
    EveryoneRole,
    GroupGrant,
    GroupRole,
    Permissions,
    PermissionsParams,
    UserGrant,
    UserRole,
)
from tests.api.models.params import assert_survives_json, maybe, names


def test_roles_of_today_and_of_tomorrow():
    permissions = Permissions.model_validate(
        {"users": [{"email": "ada@example.com", "role": "Owner"}, {"role": "auditor"}], "everyone": "none"}
    )
    assert [user.role for user in permissions.users] == [UserRole.OWNER, "auditor"]
    assert permissions.everyone is EveryoneRole.NONE
    assert permissions.groups == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "at least one of users, groups and everyone"),
        ({"users": [], "groups": []}, "at least one of users, groups and everyone"),
        ({"share_assets": True}, "at least one of users, groups and everyone"),
        ({"users": [{"email": "ada", "role": "viewer"}]}, r"users\.0\.email"),
        ({"users": [{"email": "ada@example.com and more", "role": "viewer"}]}, r"users\.0\.email"),
        ({"users": [{"email": "ada@example.com", "role": "discoverable"}]}, r"users\.0\.role"),
        ({"users": [{"email": "ada@example.com"}]}, r"users\.0\.role"),
        ({"groups": [{"group": "", "role": "viewer"}]}, r"groups\.0\.group"),
        ({"groups": [{"group": "lab", "role": "none"}]}, r"groups\.0\.role"),
        ({"everyone": "owner"}, "everyone"),
        ({"everybody": "viewer"}, "everybody"),
    ],
)
def test_wrong_permissions_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        PermissionsParams.model_validate(wrong)


def test_none_as_a_role_is_sent():
    assert PermissionsParams(everyone=EveryoneRole.NONE).to_json() == {"everyone": "none"}


users = st.builds(UserGrant, email=st.emails(), role=st.sampled_from(UserRole))
groups = st.builds(GroupGrant, group=names, role=st.sampled_from(GroupRole))


@given(
    st.builds(
        PermissionsParams,
        users=maybe(st.lists(users, max_size=2, unique_by=lambda user: user.email.lower())),
        groups=maybe(st.lists(groups, max_size=2, unique_by=lambda group: group.group.lower())),
        everyone=st.sampled_from(EveryoneRole),
        share_assets=maybe(st.booleans()),
    )
)
def test_right_permissions_survive_json(params):
    assert_survives_json(params)
