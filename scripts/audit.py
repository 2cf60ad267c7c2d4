"""Check the lock files for known vulnerabilities with pip-audit (``make audit``).

``locks/accepted_vulnerabilities.toml`` lists vulnerabilities that are accepted until a date. Exit code 0: no
others; 1: others; 3: the service did not return results for all packages.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LOCK_FOLDER = Path(__file__).resolve().parent.parent / "locks"
ACCEPTED_PATH = LOCK_FOLDER / "accepted_vulnerabilities.toml"
EXIT_VULNERABLE = 1
EXIT_INCOMPLETE = 3
DEFAULT_TIMEOUT_SECONDS = 900.0


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a locked version.

    :param package: the package.
    :param version: the locked version.
    :param ids: the ids of the advisory and its aliases.
    :param fixed_in: the fixed versions.
    """

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        remedy = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fix available"
        return f"{self.package} {self.version}: {', '.join(self.ids)} ({remedy})"


@dataclass(frozen=True)
class AcceptedVulnerability:
    """A vulnerability that is accepted until a date.

    :param package: the package.
    :param id: one of its ids.
    :param until: the last day.
    :param reason: why it is harmless, or cannot be fixed.
    """

    package: str
    id: str
    until: dt.date
    reason: str

    def covers(self, vulnerability: Vulnerability, today: dt.date) -> bool:
        """Return whether this accepts a vulnerability today."""
        return self.package == vulnerability.package and self.id in vulnerability.ids and today <= self.until


def read_accepted(path: Path) -> list[AcceptedVulnerability]:
    """Read the accepted vulnerabilities."""
    return [AcceptedVulnerability(**entry) for entry in tomllib.loads(path.read_text()).get("accepted", [])]


def run_pip_audit(lock: Path, service: Sequence[str], timeout: float) -> list[dict[str, Any]] | None:
    """Run pip-audit on a lock file.

    :param service: arguments of pip-audit that select the service.
    :param timeout: seconds.
    :returns: pip-audit's entry for each package; None if the service did not respond.
    """
    command = [sys.executable, "-m", "pip_audit", *service, "-r", str(lock), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        completed = subprocess.run(
            command, capture_output=True, text=True, timeout=max(0.0, timeout), check=False
        )
    except subprocess.TimeoutExpired:
        return None
    try:
        packages: list[dict[str, Any]] = json.loads(completed.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(completed.stderr[-2000:], file=sys.stderr)
        return None
    return packages


def extract_vulnerabilities(packages: Iterable[dict[str, Any]]) -> list[Vulnerability]:
    """Return the vulnerabilities in the output of pip-audit."""
    return [
        Vulnerability(
            package["name"],
            package["version"],
            tuple(sorted({advisory["id"], *advisory["aliases"]})),
            tuple(advisory["fix_versions"]),
        )
        for package in packages
        for advisory in package.get("vulns", [])
    ]


def report(
    packages: list[dict[str, Any]],
    accepted: list[AcceptedVulnerability],
    today: dt.date,
    *,
    is_complete: bool = True,
) -> int:
    """Print the result.

    :param packages: pip-audit's entries.
    :param accepted: the accepted vulnerabilities.
    :param is_complete: whether the service responded for all lock files.
    :returns: the exit code.
    """
    found = extract_vulnerabilities(packages)
    new = [issue for issue in found if not any(entry.covers(issue, today) for entry in accepted)]
    for issue in new:
        print(f"VULNERABLE: {issue}")
    for entry in accepted:
        if not any(entry.covers(issue, today) for issue in found):
            print(f"Unused or expired entry: {entry.package} {entry.id} until {entry.until}")
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    print(f"{len(packages)} packages: {len(new)} vulnerabilities, {len(found) - len(new)} accepted ones")
    if unknown:
        print(f"NOT AUDITED: the service does not know {len(unknown)} packages: {', '.join(unknown[:5])} …")
    if not is_complete:
        print("NOT AUDITED: the service did not respond for all lock files")
    return EXIT_VULNERABLE if new else EXIT_INCOMPLETE if unknown or not is_complete else 0


def main(arguments: list[str] | None = None) -> int:
    """Audit the lock files, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.audit", description=__doc__)
    parser.add_argument("locks", nargs="*", type=Path, help="lock files (default: all)")
    parser.add_argument("--osv-url", help="use this OSV service instead of PyPI")
    parser.add_argument(
        "--where-possible", action="store_true", help="do not fail if the service does not respond"
    )
    parser.add_argument(
        "--seconds", type=float, default=DEFAULT_TIMEOUT_SECONDS, help="time limit (default: %(default)g)"
    )
    chosen = parser.parse_args(arguments)
    service = ["-s", "osv", "--osv-url", chosen.osv_url] if chosen.osv_url else ["-s", "pypi"]
    deadline = time.monotonic() + chosen.seconds
    results: list[list[dict[str, Any]] | None] = []
    for lock in chosen.locks or sorted(LOCK_FOLDER.glob("*.txt")):
        results.append(run_pip_audit(lock, service, deadline - time.monotonic()))
        if results[-1] is None:  # it would not respond for the next file either
            break
    packages = {str(sorted(entry.items())): entry for result in results for entry in result or []}
    code = report(
        list(packages.values()),
        read_accepted(ACCEPTED_PATH),
        dt.datetime.now(dt.UTC).date(),
        is_complete=None not in results,
    )
    return 0 if code == EXIT_INCOMPLETE and chosen.where_possible else code


if __name__ == "__main__":
    sys.exit(main())
