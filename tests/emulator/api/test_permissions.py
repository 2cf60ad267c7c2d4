from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role

names = st.sampled_from(["ada", "bob", "lab"])
roles = st.sampled_from(["owner", "editor", "viewer", "discoverable", "none"])
permissions = st.builds(
    Permissions, users=st.dictionaries(names, roles), groups=st.dictionaries(names, roles), everyone=roles
)


def test_role_for_several_grants_is_the_highest():
    given_roles = Permissions(users={"ada": "viewer"}, groups={"lab": "editor"}, everyone="discoverable")
    assert given_roles.role_for("ada", []) is Role.VIEWER
    assert given_roles.role_for("ada", ["lab"]) is Role.EDITOR
    assert given_roles.role_for("bob", []) is Role.DISCOVERABLE
    assert Permissions().role_for("ada", ["lab"]) is Role.NONE


def test_is_private_with_any_other_grant_is_false():
    assert Permissions(users={"ada": "owner"}).is_private
    assert not Permissions(users={"ada": "owner", "bob": "viewer"}).is_private
    assert not Permissions(users={"ada": "owner"}, groups={"lab": "viewer"}).is_private
    assert not Permissions(users={"ada": "owner"}, everyone="viewer").is_private


@given(before=permissions, added=permissions)
def test_merged_with_adds_and_changes_but_removes_no_roles(before: Permissions, added: Permissions):
    merged = before.merged_with(users=added.users, groups=added.groups, everyone=None)
    assert merged.users == {**before.users, **added.users}
    assert merged.groups == {**before.groups, **added.groups}
    assert merged.everyone == before.everyone
    assert before.merged_with(users={}, groups={}, everyone=added.everyone).everyone == added.everyone
