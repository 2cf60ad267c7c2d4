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
from tests.api.models.strategies import assert_survives_json, names, optional


def test_permissions_unknown_role_is_kept():
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
def test_permissions_params_with_invalid_values_are_rejected(wrong, message):
    with pytest.raises(ValidationError, match=message):
        PermissionsParams.model_validate(wrong)


def test_permissions_params_role_named_none_is_sent():
    assert PermissionsParams(everyone=EveryoneRole.NONE).to_json() == {"everyone": "none"}


users = st.builds(UserGrant, email=st.emails(), role=st.sampled_from(UserRole))
groups = st.builds(GroupGrant, group=names, role=st.sampled_from(GroupRole))


@given(
    st.builds(
        PermissionsParams,
        users=optional(st.lists(users, max_size=2, unique_by=lambda user: user.email.lower())),
        groups=optional(st.lists(groups, max_size=2, unique_by=lambda group: group.group.lower())),
        everyone=st.sampled_from(EveryoneRole),
        share_assets=optional(st.booleans()),
    )
)
def test_permissions_params_round_trip_through_json(params):
    assert_survives_json(params)
