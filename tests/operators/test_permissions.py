"""Permissions that are set are read back."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_codeocean.api.errors import CodeOceanError, UnexpectedResponse
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator

ASSET = "GET data_assets/a1"
SET = "POST data_assets/a1/permissions"
READ = "GET data_assets/a1/permissions"
CHECK = "check the spelling of groups and email addresses: Code Ocean ignores unknown ones without an error"
WANTED = {
    "users": [{"email": "Ana@lab.test", "role": "editor"}],
    "groups": [{"group": "imaging", "role": "viewer"}, {"group": "no-such-group", "role": "viewer"}],
    "everyone": "discoverable",
}


class Permissions:
    """The permissions of one data asset, on a server with faults.

    :param drops: users, groups, and ``everyone`` that the server ignores without an error.
    :param lag: how many reads show the permissions before the last change.
    """

    def __init__(self, *, drops=(), lag=0, **extra):
        self.drops, self.lag, self.extra = drops, lag, extra
        self.users, self.groups, self.everyone = {"owner@lab.test": "owner"}, {}, "none"
        self.shown = self.payload()
        self.stale = 0

    def payload(self):
        return {
            "users": [{"email": email, "role": role} for email, role in self.users.items()],
            "groups": [{"group": group, "role": role} for group, role in self.groups.items()],
            "everyone": self.everyone,
            **self.extra,
        }

    def __call__(self, line, body):
        if line == READ:
            if self.stale == 0:
                self.shown = self.payload()
            self.stale = max(self.stale - 1, 0)
            return 200, self.shown
        if line == SET:
            self.stale = self.lag
            for user in body.get("users", ()):
                if user["email"] not in self.drops:
                    self.users[user["email"].lower()] = user["role"]
            for group in body.get("groups", ()):
                if group["group"] not in self.drops:
                    self.groups[group["group"]] = group["role"]
            if "everyone" not in self.drops:
                self.everyone = body.get("everyone", self.everyone)
            return 204, None
        return 200, {"id": "a1"}


@pytest.fixture
def share(execute):
    def run(**arguments):
        return execute(
            CodeOceanSetDataAssetPermissionsOperator, **{"data_asset_id": "a1"} | WANTED | arguments
        )

    return run


@pytest.mark.fault("A6")
@pytest.mark.parametrize("mode", ["merge", "ensure"])
@pytest.mark.parametrize(
    ("drops", "clause"),
    [
        ("no-such-group", f"group 'no-such-group' has no role instead of viewer; {CHECK}"),
        ("Ana@lab.test", f"user 'Ana@lab.test' has no role instead of editor; {CHECK}"),
        ("everyone", "everyone has none instead of discoverable"),
    ],
)
def test_set_permissions_dropped_by_server_fails_and_names_them(serve, share, pauses, mode, drops, clause):
    server = serve(Permissions(drops={drops}))
    with pytest.raises(AirflowException) as caught:
        share(mode=mode)
    assert not isinstance(caught.value, AirflowFailException)
    assert str(caught.value) == (
        f"Code Ocean accepted the permissions on data asset a1, but 15 s later {clause} "
        f"[{server.url}, connection 'codeocean_default']"
    )
    assert sum(pauses) == 15


@pytest.mark.fault("A6")
@pytest.mark.parametrize("mode", ["merge", "ensure"])
def test_set_permissions_retried_after_group_exists_succeeds(serve, share, pauses, mode):
    permissions = Permissions(drops={"no-such-group"})
    server = serve(permissions)
    with pytest.raises(AirflowException):
        share(mode=mode)
    permissions.drops = ()
    sent = share(mode=mode)
    assert permissions.groups["no-such-group"] == "viewer"
    expected = {"groups": [{"group": "no-such-group", "role": "viewer"}]} if mode == "ensure" else WANTED
    assert sent == expected
    assert len(server.bodies_of(SET)) == 2


def test_set_permissions_role_unchanged_fails(serve, share, pauses):
    permissions = Permissions(drops={"imaging"})
    permissions.groups = {"imaging": "owner"}
    serve(permissions)
    with pytest.raises(AirflowException, match="group 'imaging' has owner instead of viewer"):
        share()


@pytest.mark.parametrize("lag", [1, 4])
def test_set_permissions_shown_late_succeeds(serve, share, pauses, lag):
    server = serve(Permissions(lag=lag))
    assert share() == WANTED
    assert len(server.bodies_of(READ)) == lag + 1
    assert pauses == [0, 1, 2, 4, 8][: lag + 1]


def test_set_permissions_shown_at_once_reads_them_once(serve, share, pauses, caplog):
    server = serve(Permissions())
    share()
    assert [line for line, _ in server.requests] == [SET, READ]
    assert "WARNING" not in [record.levelname for record in caplog.records]


@pytest.mark.parametrize(
    "answer", [(404, {"message": "Not Found"}), (405, {"message": "Method Not Allowed"})]
)
def test_set_permissions_on_older_server_warns_about_missing_check(serve, share, pauses, caplog, answer):
    permissions = Permissions()
    serve(lambda line, body: answer if line == READ else permissions(line, body))
    assert share() == WANTED
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "were sent but could not be verified" in warning
    with pytest.raises(AirflowFailException, match="mode='ensure' needs a server that returns permissions"):
        share(mode="ensure")


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("proxy", [False, True])
def test_set_permissions_read_with_plain_text_response_warns_or_fails(serve, pauses, caplog, status, proxy):
    """An old server may answer with its web framework's page; a proxy does so for the data asset, too."""
    permissions = Permissions()
    page = (status, b"404 page not found")
    serve(lambda line, body: page if line == READ or (proxy and line == ASSET) else permissions(line, body))
    operator = CodeOceanSetDataAssetPermissionsOperator(task_id="t", data_asset_id="a1", **WANTED)
    with CodeOceanHook().get_conn(retry_budget=0) as client:
        if proxy:
            with pytest.raises(UnexpectedResponse):
                operator.perform(client)
        else:
            assert operator.perform(client) == WANTED
            assert "could not be verified" in caplog.text


def test_set_permissions_read_forbidden_warns(serve, share, pauses, caplog):
    permissions = Permissions()
    forbidden = (403, {"message": "no permission"})
    serve(lambda line, body: forbidden if line == READ else permissions(line, body))
    share()
    assert "could not be verified" in caplog.text


def test_set_permissions_of_deleted_data_asset_fails_permanently(serve, share, pauses):
    permissions = Permissions()
    gone = (404, {"message": "data asset not found"})
    serve(lambda line, body: gone if line in (READ, ASSET) else permissions(line, body))
    for mode in ("merge", "ensure"):
        with pytest.raises(AirflowFailException, match="404 to GET data_assets/a1: data asset not found"):
            share(mode=mode)


def test_set_permissions_read_fails_keeps_retries(serve, share, pauses):
    permissions = Permissions()
    answer = (500, {"message": "on purpose"})
    serve(lambda line, body: answer if line == READ else permissions(line, body))
    with pytest.raises(CodeOceanError, match="on purpose"):
        share()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"share_assets": False}, "share_assets is false instead of true"),
        ({"share_assets": True}, None),
        ({}, "the server does not return share_assets"),
    ],
)
def test_set_permissions_share_assets_is_verified(serve, share, pauses, caplog, extra, message):
    serve(Permissions(**extra))
    if extra.get("share_assets") is False:
        with pytest.raises(AirflowException, match=message):
            share(share_assets=True)
    else:
        share(share_assets=True)
        assert (message in caplog.text) if message else ("WARNING" not in caplog.text)


@pytest.mark.parametrize("name", ["users", "groups"])
def test_set_permissions_with_two_roles_for_same_grantee_raises(share, name):
    key = "email" if name == "users" else "group"
    who = "ana@lab.test" if name == "users" else "g"
    grants = [{key: who, "role": "viewer"}, {key: who.upper(), "role": "owner"}]
    with pytest.raises(ValueError, match="is listed with two roles: viewer and owner"):
        share(**{name: grants})
