"""Build the packages, check them, and install them as a user does (``make dist``).

``dist/`` gets the sdist and the wheel of the tracked files, with uncommitted changes. Both must be
reproducible, and the sdist must build the same wheel. Then the wheel is installed on the oldest and on the
newest supported Airflow (see :mod:`scripts.installation`). Exits with 0 if everything succeeded.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.installation import Installation
from scripts.matrix import CHECKOUT, MatrixRow, find_python, supported_releases
from scripts.steps import StepError, StepRunner, run_git
from scripts.terminal import Terminal
from scripts.waiting import ConditionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

PACKAGE = "airflow_provider_codeocean"
BIN = Path(sys.executable).parent
_BUILD_TIMEOUT_SECONDS = 120.0
_CHECK_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Packages:
    """The built packages."""

    sdist: Path
    wheel: Path

    @property
    def version(self) -> str:
        """The version in the wheel's name."""
        return self.wheel.name.split("-")[1]


class Builder:
    """Builds the packages of a checkout, and checks them.

    :param checkout: a working tree of git.
    :param folder: an empty folder for temporary files.
    :param runner: runs the commands.
    """

    def __init__(self, checkout: Path, folder: Path, runner: StepRunner) -> None:
        self._checkout = checkout
        self._folder = folder
        self._runner = runner
        self._env = os.environ | {"SOURCE_DATE_EPOCH": run_git(checkout, "log", "-1", "--format=%ct")}

    def build(self, target: Path, version: str | None = None) -> Packages:
        """Build the sdist and the wheel, and compare them with further builds.

        :param target: folder for both, whose content is replaced.
        :param version: the expected version; None for any.
        :raises StepError: if a build fails, or has another version or another result than the first one.
        """
        sources = self.export_sources("sources")
        shutil.rmtree(target, ignore_errors=True)
        self._build("Build the sdist and the wheel", sources, target)
        packages = Packages(_only(target, "*.tar.gz"), _only(target, "*.whl"))
        if version not in {None, packages.version}:
            raise StepError(f"The packages have version {packages.version}, not {version}")
        again = self._folder / "again"
        self._build("Build both once more, from a second copy", self.export_sources("copy"), again)
        require_equal(packages.sdist, _only(again, "*.tar.gz"))
        require_equal(packages.wheel, _only(again, "*.whl"))
        from_sdist = self._folder / "from-sdist"
        self._build("Build the wheel from the sdist", packages.sdist, from_sdist, "--wheel")
        require_equal(packages.wheel, _only(from_sdist, "*.whl"))
        for path in (packages.sdist, packages.wheel):
            self._runner.print_result(f"{path.name}: {path.stat().st_size:,} bytes, sha256 {sha256(path)}")
        return packages

    def check(self, packages: Packages) -> None:
        """Check metadata and content of the packages.

        :raises StepError: if a check fails.
        """
        paths = [str(packages.sdist), str(packages.wheel)]
        self._run_tool("Check the metadata and the long description", "twine", "check", "--strict", *paths)
        package = str(self._folder / "sources" / PACKAGE)
        self._run_tool(
            "Check the content of the wheel", "check-wheel-contents", "--package", package, paths[1]
        )
        missing = sorted(self._tracked_files() - sdist_members(packages.sdist))
        if missing:
            raise StepError("The sdist lacks tracked files: add them in pyproject.toml", "\n".join(missing))
        self._runner.print_result(describe_emulator_share(packages.wheel))

    def export_sources(self, name: str) -> Path:
        """Copy the tracked files, with uncommitted changes, and return the new folder."""
        commit = run_git(self._checkout, "stash", "create") or "HEAD"
        archive = self._folder / f"{name}.tar"
        run_git(self._checkout, "archive", "--format=tar", f"--output={archive}", commit)
        sources = self._folder / name
        with tarfile.open(archive) as tar:
            tar.extractall(sources, filter="data")
        return sources

    def _tracked_files(self) -> set[str]:
        """Return all tracked files but those of development tools, whose top-level names start with a dot."""
        sources = self._folder / "sources"
        paths = {str(path.relative_to(sources)) for path in sources.rglob("*") if path.is_file()}
        return {path for path in paths if not path.startswith(".")}

    def _build(self, title: str, source: Path, target: Path, *kinds: str) -> None:
        # The build backend is in the lock file, so that a build downloads nothing.
        command = ["build", "--offline", "--no-build-isolation", "--no-config", "--python", sys.executable]
        command += [*(kinds or ("--sdist", "--wheel")), "--out-dir", str(target), str(source)]
        self._run_tool(title, "uv", *command, timeout=_BUILD_TIMEOUT_SECONDS)

    def _run_tool(
        self, title: str, tool: str, *arguments: str, timeout: float = _CHECK_TIMEOUT_SECONDS
    ) -> None:
        command = [str(BIN / tool), *arguments]
        self._runner.run(title, command, env=self._env, cwd=self._folder, timeout=timeout)


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise StepError(f"{folder} contains {len(found)} files {pattern} instead of one")
    return found[0]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def require_equal(first: Path, other: Path) -> None:
    """Compare two builds.

    :raises StepError: if their names or contents differ.
    """
    if first.name != other.name or sha256(first) != sha256(other):
        raise StepError(
            "The build is not reproducible: two builds differ",
            "\n".join(f"{path.name}: sha256 {sha256(path)}" for path in (first, other)),
        )


def sdist_members(sdist: Path) -> set[str]:
    """Return the paths of the files in an sdist, relative to its top folder."""
    with tarfile.open(sdist) as tar:
        return {member.name.partition("/")[2] for member in tar if member.isfile()}


def describe_emulator_share(wheel: Path) -> str:
    """Return a sentence on the emulator's part of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.compress_size for info in archive.infolist()}
    emulator = sum(size for name, size in sizes.items() if name.startswith(f"{PACKAGE}/emulator/"))
    return f"{len(sizes)} files; the emulator has {emulator:,} of {sum(sizes.values()):,} compressed bytes"


def install_on(release: str, packages: Packages, folder: Path, runner: StepRunner) -> bool:
    """Install the wheel on a release of Airflow, and use it.

    :returns: whether it was tested. Without a Python for Airflow 2.11, it is not.
    :raises StepError: if a step fails, or there is no Python for a later Airflow.
    """
    python = find_python(MatrixRow(release))
    runner.terminal.print_title(f"Install the wheel on Airflow {release}")
    if python is None:
        message = f"nothing was installed on Airflow {release}: there is no Python for it"
        if not release.startswith("2."):
            raise StepError(message)
        runner.terminal.print_line(f"SKIPPED: {message}")
        return False
    lock = CHECKOUT / "locks" / f"airflow-{release}.txt"
    installation = Installation(python, packages.wheel, lock, folder / release, runner)
    installation.create()
    installation.check_provider()
    installation.check_imports()
    installation.run_quick_start((CHECKOUT / "docs" / "index.md").read_text())
    installation.check_extras()
    return True


def _exit_on_signal(signal_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal_number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, check, and install the packages, and return the exit code."""
    known = supported_releases()
    parser = argparse.ArgumentParser(prog="python -m scripts.dist", description=__doc__)
    parser.add_argument("releases", nargs="*", help=f"Airflows (default: {known[0]} {known[-1]})")
    parser.add_argument("--version", help="fail if the packages have another version")
    chosen = parser.parse_args(arguments)
    releases = chosen.releases or [known[0], known[-1]]
    if unknown := set(releases) - set(known):
        parser.error(f"Airflow {', '.join(sorted(unknown))} is not supported: there is no lock file for it")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    terminal = Terminal(sys.stdout)
    try:
        # Not below the checkout, so that nothing can import it.
        with tempfile.TemporaryDirectory(prefix="codeocean-dist-") as temporary:
            folder = Path(temporary)
            runner = StepRunner(terminal, folder / "logs")
            terminal.print_title("Build")
            builder = Builder(CHECKOUT, folder, runner)
            packages = builder.build(CHECKOUT / "dist", chosen.version)
            builder.check(packages)
            tested = [release for release in releases if install_on(release, packages, folder, runner)]
    except StepError as error:
        terminal.print_failure(error.title, error.details)
        return 1
    except ConditionTimeoutError as error:
        terminal.print_failure("make dist failed", str(error))
        return 1
    names = ", ".join(tested) or "no Airflow"
    terminal.print_title(f"make dist: dist/ has version {packages.version}, installed on {names}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
