from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role

names = st.sampled_from(["ada", "bob", "lab"])
roles = st.sampled_from(["owner", "editor", "viewer", "discoverable", "none"])
permissions = st.builds(
    Permissions, users=st.dictionaries(names, roles), groups=st.dictionaries(names, roles), everyone=roles
)


def test_the_highest_role_counts():
    given_roles = Permissions(users={"ada": "viewer"}, groups={"lab": "editor"}, everyone="discoverable")
    assert given_roles.role_of("ada", []) is Role.VIEWER
    assert given_roles.role_of("ada", ["lab"]) is Role.EDITOR
    assert given_roles.role_of("bob", []) is Role.DISCOVERABLE
    assert Permissions().role_of("ada", ["lab"]) is Role.NONE


def test_private_means_nobody_else():
    assert Permissions(users={"ada": "owner"}).private
    assert not Permissions(users={"ada": "owner", "bob": "viewer"}).private
    assert not Permissions(users={"ada": "owner"}, groups={"lab": "viewer"}).private
    assert not Permissions(users={"ada": "owner"}, everyone="viewer").private


@given(before=permissions, added=permissions)
def test_merging_adds_and_changes_but_removes_nobody(before: Permissions, added: Permissions):
    merged = before.merged(users=added.users, groups=added.groups, everyone=None)
    assert merged.users == {**before.users, **added.users}
    assert merged.groups == {**before.groups, **added.groups}
    assert merged.everyone == before.everyone
    assert before.merged(users={}, groups={}, everyone=added.everyone).everyone == added.everyone
