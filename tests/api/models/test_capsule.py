"""Capsules and pipelines, as servers of all ages send them."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.models.capsule import Capsule, CapsuleStatus, GitSync


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("release", CapsuleStatus.RELEASE),
        ("published", CapsuleStatus.RELEASE),
        ("non_release", CapsuleStatus.NON_RELEASE),
        ("non-published", CapsuleStatus.NON_RELEASE),
        ("CAPSULE_STATUS_NON_PUBLISHED", CapsuleStatus.NON_RELEASE),
        ("in-review", "in-review"),
        ("", None),
    ],
)
def test_capsule_status_in_any_spelling_is_normalized(sent, status):
    assert Capsule.model_validate({"status": sent}).status == status


def test_capsule_in_2_x_format_equals_current_format():
    modern = {"id": "c1", "status": "release", "slug": "123", "tags": ["ephys"], "release_capsule": "c9"}
    older = {
        "id": "c1",
        "status": "published",
        "slug": 123,
        "keywords": ["ephys"],
        "published_capsule": "c9",
    }
    assert Capsule.model_validate(older) == Capsule.model_validate(modern)


def test_capsule_with_null_keywords_has_no_tags():
    assert Capsule.model_validate({"keywords": None}).tags == []


def test_git_sync_of_empty_payload_has_no_values():
    assert GitSync.model_validate({}) == GitSync(pushed=None, pulled=None, new_branch=None)
