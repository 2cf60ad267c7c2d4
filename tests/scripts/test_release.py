"""``make release`` ends with a tag only if every step before it has succeeded."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.release import CHANGELOG_PATH, INSTALL_PAGES, VERSION_PATH, main

CHECKOUT = Path(__file__).parent.parent.parent
TODAY = dt.datetime.now(dt.UTC).date().isoformat()
# Writes which targets ran into the folder of git, where they do not change the working tree.
MAKEFILE = """
%:
\t@echo "$@ $(VERSION)" >> .git/made
\t@test ! -e .git/broken-$@
"""


def git(folder, *arguments):
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A small repository with the files of this checkout that a release reads."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.com")
    folder = tmp_path / "clone"
    for path in (VERSION_PATH, CHANGELOG_PATH, *INSTALL_PAGES):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / path, folder / path)
    for page in INSTALL_PAGES:
        text = (folder / page).read_text().replace("not on PyPI yet", "on PyPI")
        (folder / page).write_text(text)
    (folder / CHANGELOG_PATH).write_text(
        "# Changelog\n\n## [8.0.0] - unreleased\n\n### Waiting\n\n- One line.\n"
    )
    (folder / "Makefile").write_text(MAKEFILE)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Add everything")
    return folder


def release(clone, *arguments, version="8.0.0"):
    return main([version, "--checkout", str(clone), *arguments])


def made(clone):
    path = clone / ".git" / "made"
    return path.read_text().splitlines() if path.exists() else []


def state(clone):
    return (
        git(clone, "log", "--format=%H"),
        git(clone, "tag"),
        git(clone, "status", "--porcelain"),
        made(clone),
    )


def test_release_sets_version_dates_changelog_builds_and_tags(clone):
    assert release(clone, "--tests", "passed") == 0
    assert '__version__ = "8.0.0"' in (clone / VERSION_PATH).read_text()
    assert f"## [8.0.0] - {TODAY}\n" in (clone / CHANGELOG_PATH).read_text()
    assert git(clone, "log", "-1", "--format=%s") == "Release 8.0.0"
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "cat-file", "-t", "v8.0.0") == "tag"
    assert git(clone, "rev-parse", "v8.0.0^{commit}") == git(clone, "rev-parse", "HEAD")
    message = git(clone, "tag", "--list", "--format=%(contents)", "v8.0.0")
    assert message == "airflow-provider-codeocean 8.0.0\n\n### Waiting\n\n- One line."
    assert made(clone) == ["dist 8.0.0"]


def test_release_with_tests_runs_them_before_the_commit(clone):
    (clone / ".git" / "broken-crash").touch()
    before = state(clone)
    assert release(clone, "--tests", "run") == 1
    assert state(clone) == (*before[:3], ["test ", "unit ", "e2e ", "e2e-2.11 ", "matrix ", "crash "])


def test_release_with_failed_build_has_no_tag_and_continues_later(clone, capsys):
    (clone / ".git" / "broken-dist").touch()
    assert release(clone, "--tests", "passed") == 1
    assert "make dist: exit code 2" in capsys.readouterr().err
    assert git(clone, "tag") == ""
    (clone / ".git" / "broken-dist").unlink()
    assert release(clone, "--tests", "passed") == 0
    assert git(clone, "log", "--format=%s").splitlines() == ["Release 8.0.0", "Add everything"]
    assert git(clone, "tag") == "v8.0.0"


def test_dry_run_changes_nothing_and_prints_all_steps(clone, capsys):
    before = state(clone)
    assert release(clone, "--dry-run", "--tests", "run") == 0
    assert state(clone) == before
    printed = capsys.readouterr().out
    steps = [
        "Would run make test",
        "Would change and commit",
        "Would run make dist",
        "Would create the annotated",
    ]
    assert [printed.index(step) for step in steps] == sorted(printed.index(step) for step in steps)


def test_release_without_terminal_does_not_assume_that_tests_passed(clone, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", (clone / "Makefile").open())
    before = state(clone)
    assert release(clone) == 1
    assert "use TESTS=run or TESTS=passed" in capsys.readouterr().err
    assert state(clone) == before


@pytest.mark.parametrize("version", ["", "8", "v8.0.0", "8.0.0-rc1", "8.0.0.dev1"])
def test_release_with_invalid_version_fails(clone, version, capsys):
    assert release(clone, "--tests", "passed", version=version) == 1
    assert "must have the form" in capsys.readouterr().err


def commit_all(clone):
    git(clone, "commit", "--quiet", "--all", "--message", "Change it")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clone: (clone / "notes.txt").touch(), "The checkout has changes"),
        (lambda clone: git(clone, "switch", "--quiet", "--create", "fix"), "The branch is fix"),
        (lambda clone: git(clone, "tag", "v8.0.0"), "The tag v8.0.0 exists"),
        (
            lambda clone: (replace(clone / CHANGELOG_PATH, "8.0.0", "8.0.1"), commit_all(clone)),
            "CHANGELOG.md needs a section",
        ),
        (
            lambda clone: (
                replace(clone / CHANGELOG_PATH, "### Waiting\n\n- One line.\n", ""),
                commit_all(clone),
            ),
            "CHANGELOG.md needs a section",
        ),
        (
            lambda clone: ((clone / "README.md").write_text("not on PyPI yet"), commit_all(clone)),
            'README.md says "not on PyPI yet"',
        ),
        (
            lambda clone: (replace(clone / VERSION_PATH, "__version__", "VERSION"), commit_all(clone)),
            "has no line __version__",
        ),
    ],
    ids=["changes", "branch", "tag", "changelog", "empty notes", "page", "version"],
)
def test_release_that_is_not_ready_fails_without_changes(clone, change, message, capsys):
    change(clone)
    before = state(clone)
    assert release(clone, "--tests", "passed") == 1
    assert message in capsys.readouterr().err
    assert state(clone) == before


def test_changelog_of_this_checkout_has_notes_for_its_version():
    version = (CHECKOUT / VERSION_PATH).read_text().split('"')[-2]
    assert f"## [{version}] - " in (CHECKOUT / CHANGELOG_PATH).read_text()
