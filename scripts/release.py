"""Walk through the checklist of a release, up to its tag (``make release VERSION=0.1.0``).

Checks the checkout, sets the version, dates the section of the changelog, and commits both. Then it builds
the packages of this commit with ``make dist``, and creates the annotated tag. It pushes and uploads nothing.
If a step fails, fix the problem and run it again: it continues with the commit that it has created.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.steps import StepError, run_git

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHECKOUT = Path(__file__).resolve().parent.parent
VERSION_PATH = "airflow_provider_codeocean/__init__.py"
CHANGELOG_PATH = "CHANGELOG.md"
#: Pages that must not say that the version cannot be installed from PyPI.
INSTALL_PAGES = ("README.md", "docs/index.md")
_VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
_VERSION_LINE = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_COMMAND_TIMEOUT_SECONDS = 5400.0
_TESTS = ("test", "unit", "e2e", "e2e-2.11", "matrix", "crash", "cluster", "ui", "audit")


class Release:
    """A release of a checkout.

    :param checkout: the working tree.
    :param version: the version, such as ``0.1.0`` or ``0.2.0rc1``.
    :param dry_run: whether only to check, and to print what would be done.
    """

    def __init__(self, checkout: Path, version: str, *, dry_run: bool = False) -> None:
        self._checkout = checkout
        self._version = version
        self._dry_run = dry_run
        self._tag = f"v{version}"

    def run(self, tests: str, confirm: Callable[[str], bool]) -> None:
        """Carry out all steps.

        :param tests: ``run`` runs all tests, ``passed`` states that they have passed on this commit, and
            ``ask`` asks.
        :param confirm: asks a question, and returns whether the answer is yes.
        :raises StepError: if a step fails; later steps are not carried out.
        """
        self.check()
        self._test(tests, confirm)
        self._commit()
        self._make("dist", f"VERSION={self._version}")
        self._create_tag()

    def check(self) -> None:
        """Check everything that needs no tests.

        :raises StepError: if the version, the checkout, the changelog, or a page is not ready.
        """
        if not _VERSION.fullmatch(self._version):
            raise StepError(f"The version {self._version!r} must have the form 1.2.3 or 1.2.3rc1")
        if changes := run_git(self._checkout, "status", "--porcelain"):
            raise StepError("The checkout has changes: commit them first", changes)
        branch = run_git(self._checkout, "rev-parse", "--abbrev-ref", "HEAD")
        if branch != "main":
            raise StepError(f"The branch is {branch}: releases are made from main")
        if run_git(self._checkout, "tag", "--list", self._tag):
            raise StepError(f"The tag {self._tag} exists: choose the next version")
        self._read_notes()
        if not _VERSION_LINE.search(self._read(VERSION_PATH)):
            raise StepError(f"{VERSION_PATH} has no line __version__")
        for page in INSTALL_PAGES:
            if "not on PyPI yet" in self._read(page):
                raise StepError(f'{page} says "not on PyPI yet": describe the installation from PyPI')
        _print("Version, checkout, changelog, and installation pages are ready")

    def _read_notes(self) -> tuple[str, str]:
        """Return the date and the text of the changelog's section."""
        pattern = rf"^## \[{re.escape(self._version)}\] - (unreleased|\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)"
        found = re.search(pattern, self._read(CHANGELOG_PATH), re.MULTILINE | re.DOTALL)
        if found is None or not found[2].strip():
            raise StepError(f"{CHANGELOG_PATH} needs a section '## [{self._version}] - unreleased' with text")
        return found[1], found[2].strip()

    def _test(self, tests: str, confirm: Callable[[str], bool]) -> None:
        commit = run_git(self._checkout, "rev-parse", "--short", "HEAD")
        commands = ", ".join(f"make {name}" for name in _TESTS)
        if tests == "run":
            for name in _TESTS:
                self._make(name)
        elif tests == "ask" and self._dry_run:
            _print(f"Would ask whether {commands} have passed on {commit}")
        elif tests == "ask" and not confirm(f"Have {commands} passed on {commit}?"):
            raise StepError("Not released: run them, or use TESTS=run")
        else:
            _print(f"{commands} have passed on {commit}, as stated")

    def _commit(self) -> None:
        date, _ = self._read_notes()
        today = dt.datetime.now(dt.UTC).date().isoformat()
        version_text = self._read(VERSION_PATH)
        changelog = self._read(CHANGELOG_PATH)
        heading = f"## [{self._version}] - "
        changes = {
            VERSION_PATH: _VERSION_LINE.sub(f'__version__ = "{self._version}"', version_text),
            CHANGELOG_PATH: changelog.replace(f"{heading}unreleased", f"{heading}{today}"),
        }
        changed = [path for path, text in changes.items() if text != self._read(path)]
        if not changed:
            _print(f"Version and changelog are those of {self._version}, dated {date}")
            return
        if self._dry_run:
            _print(f"Would change and commit {', '.join(changed)}: version {self._version}, dated {today}")
            return
        for path in changed:
            (self._checkout / path).write_text(changes[path])
        run_git(self._checkout, "commit", "--quiet", "--message", f"Release {self._version}", "--", *changed)
        _print(f"Committed {', '.join(changed)}: version {self._version}, dated {today}")

    def _create_tag(self) -> None:
        if self._dry_run:
            _print(f"Would create the annotated tag {self._tag} with the changelog's section")
            return
        if changes := run_git(self._checkout, "status", "--porcelain"):
            raise StepError("The checkout has changed since the release commit", changes)
        _, notes = self._read_notes()
        message = f"airflow-provider-codeocean {self._version}\n\n{notes}\n"
        # Otherwise, git would remove the headings as comments.
        run_git(self._checkout, "tag", "--annotate", "--cleanup=whitespace", "--message", message, self._tag)
        _print(f"Created the tag {self._tag}. To publish it: git push --atomic origin main {self._tag}")

    def _make(self, target: str, *variables: str) -> None:
        command = ["make", "--no-print-directory", target, *variables]
        if self._dry_run:
            _print(f"Would run {' '.join(['make', target, *variables])}")
            return
        _print(f"Run make {target}")
        try:
            done = subprocess.run(command, cwd=self._checkout, timeout=_COMMAND_TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise StepError(f"make {target}: timed out after {_COMMAND_TIMEOUT_SECONDS:g} s") from None
        if done.returncode != 0:
            raise StepError(f"make {target}: exit code {done.returncode}")

    def _read(self, path: str) -> str:
        return (self._checkout / path).read_text()


def _print(text: str) -> None:
    print(f"== {text}", flush=True)


def _ask(question: str) -> bool:
    if not sys.stdin.isatty():
        raise StepError("No terminal to ask for the state of the tests: use TESTS=run or TESTS=passed")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Release a version, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    parser.add_argument("version", nargs="?", default="", help="such as 0.1.0")
    parser.add_argument("--tests", choices=["ask", "run", "passed"], default="ask", help="default: ask")
    parser.add_argument("--dry-run", action="store_true", help="check only, and print what would be done")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    try:
        Release(chosen.checkout, chosen.version, dry_run=chosen.dry_run).run(chosen.tests, _ask)
    except StepError as error:
        print(f"RELEASE FAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
