"""``make dist`` notices packages that differ, lack files, or do not work."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts import dist
from scripts.dist import Builder, Packages, install_on, main, sdist_members
from scripts.steps import StepError, StepRunner
from scripts.terminal import Terminal

pytestmark = pytest.mark.long

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "airflow-provider-codeocean"
version = "9.9.9"
requires-python = ">=3.11"

[tool.hatch.build.targets.wheel]
packages = ["airflow_provider_codeocean"]
"""
RANDOM_FILE = """
import uuid
from pathlib import Path
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        Path(self.root, "airflow_provider_codeocean", "build.py").write_text(f"ID = '{uuid.uuid4()}'")
"""


def git(folder, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture
def project(tmp_path):
    """A small project in a repository."""
    folder = tmp_path / "project"
    package = folder / "airflow_provider_codeocean"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("VALUE = 1\n")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "README.md").write_text("Text\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Add a project")
    return folder


@pytest.fixture
def runner(tmp_path):
    return StepRunner(Terminal(io.StringIO()), tmp_path / "logs")


@pytest.fixture
def builder(project, tmp_path, runner):
    folder = tmp_path / "build"
    folder.mkdir()
    return Builder(project, folder, runner)


def commit(project, name, text):
    (project / name).write_text(text)
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", f"Change {name}")


def test_build_with_uncommitted_changes_contains_only_tracked_files(builder, project, tmp_path):
    (project / "airflow_provider_codeocean" / "__init__.py").write_text("VALUE = 2\n")
    (project / "airflow_provider_codeocean" / "notes.py").write_text("SECRET = 1\n")
    packages = builder.build(tmp_path / "dist", "9.9.9")
    assert packages.sdist.name == "airflow_provider_codeocean-9.9.9.tar.gz"
    assert packages.wheel.name == "airflow_provider_codeocean-9.9.9-py3-none-any.whl"
    assert sdist_members(packages.sdist) == {
        "PKG-INFO",
        "README.md",
        "airflow_provider_codeocean/__init__.py",
        "pyproject.toml",
    }
    with tarfile.open(packages.sdist) as tar:
        member = tar.extractfile("airflow_provider_codeocean-9.9.9/airflow_provider_codeocean/__init__.py")
        assert member.read() == b"VALUE = 2\n"


def test_build_with_another_version_fails(builder, tmp_path):
    with pytest.raises(StepError, match=r"The packages have version 9\.9\.9, not 9\.9\.8"):
        builder.build(tmp_path / "dist", "9.9.8")


def test_build_with_different_results_fails(project, builder, tmp_path):
    commit(project, "hatch_build.py", RANDOM_FILE)
    commit(project, "pyproject.toml", PROJECT + "\n[tool.hatch.build.hooks.custom]\n")
    with pytest.raises(StepError, match="The build is not reproducible") as caught:
        builder.build(tmp_path / "dist")
    assert caught.value.details.count("sha256") == 2


def test_check_with_incomplete_sdist_fails(project, builder, tmp_path):
    sdist = '\n[tool.hatch.build.targets.sdist]\ninclude = ["airflow_provider_codeocean"]\n'
    commit(project, "pyproject.toml", PROJECT.replace("version =", 'readme = "README.md"\nversion =') + sdist)
    commit(project, "CHANGELOG.md", "Text\n")
    packages = builder.build(tmp_path / "dist")
    with pytest.raises(StepError, match="The sdist lacks tracked files") as caught:
        builder.check(packages)
    assert caught.value.details == "CHANGELOG.md"


def test_check_without_long_description_fails(builder, tmp_path):
    packages = builder.build(tmp_path / "dist")
    with pytest.raises(StepError, match="Check the metadata") as caught:
        builder.check(packages)
    assert "long_description" in caught.value.details


def test_builder_outside_of_a_repository_fails(tmp_path, runner):
    with pytest.raises(StepError, match="git log: exit code 128"):
        Builder(tmp_path, tmp_path, runner)


@pytest.fixture
def no_python(tmp_path, monkeypatch):
    """A machine without Python."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)


def test_install_on_airflow_2_without_its_python_is_skipped_with_a_message(no_python, tmp_path):
    output = io.StringIO()
    runner = StepRunner(Terminal(output), tmp_path)
    packages = Packages(tmp_path / "a-1.tar.gz", tmp_path / "a-1-py3-none-any.whl")
    assert install_on("2.11", packages, tmp_path, runner) is False
    assert "SKIPPED: nothing was installed on Airflow 2.11" in output.getvalue()


def test_install_on_newest_airflow_without_its_python_fails(no_python, tmp_path, runner):
    packages = Packages(tmp_path / "a-1.tar.gz", tmp_path / "a-1-py3-none-any.whl")
    with pytest.raises(StepError, match=r"nothing was installed on Airflow 3\.3"):
        install_on("3.3", packages, tmp_path, runner)


def test_main_with_unsupported_airflow_is_rejected(capsys):
    with pytest.raises(SystemExit):
        main(["2.10"])
    assert "Airflow 2.10 is not supported" in capsys.readouterr().err


def test_main_with_failed_build_reports_it(project, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(dist, "CHECKOUT", project)
    (project / "pyproject.toml").write_text(PROJECT.replace("hatchling.build", "no_backend"))
    assert main(["3.3"]) == 1
    printed = capsys.readouterr().out
    assert "Build the sdist and the wheel: exit code" in printed
    assert "no_backend" in printed


def test_build_tools_are_those_of_the_environment():
    tools = {"uv", "twine", "check-wheel-contents"}
    assert {name for name in tools if (Path(sys.executable).parent / name).exists()} == tools
