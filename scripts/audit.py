"""``make audit``: whether anything in the lock files is known to be vulnerable, by pip-audit.

What is known and borne, and until when, is in ``locks/accepted_vulnerabilities.toml``. The exit code is 0
where there is nothing else, 1 where there is, and 3 where the service could not be asked about all of it.
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

LOCKS = Path(__file__).resolve().parent.parent / "locks"
ACCEPTED = LOCKS / "accepted_vulnerabilities.toml"
FOUND, UNKNOWN = 1, 3
#: Seconds for all that is to be asked.
SECONDS = 900.0


@dataclass(frozen=True)
class Vulnerability:
    """One that is known of a version that is locked.

    :param package: the package.
    :param version: its version.
    :param ids: the vulnerability's names: of one advisory, and its aliases.
    :param mended_in: versions without it.
    """

    package: str
    version: str
    ids: tuple[str, ...]
    mended_in: tuple[str, ...]

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.mended_in)}" if self.mended_in else "not mended yet"
        return f"{self.package} {self.version}: {', '.join(self.ids)} ({mended})"


@dataclass(frozen=True)
class Accepted:
    """A vulnerability that is borne for a while.

    :param package: the package.
    :param id: one of the vulnerability's names.
    :param until: the last day.
    :param reason: why it does no harm, or cannot be mended.
    """

    package: str
    id: str
    until: dt.date
    reason: str

    def covers(self, vulnerability: Vulnerability, today: dt.date) -> bool:
        """Tell whether it is the one, and its time is not over.

        :param vulnerability: what was found.
        :param today: the day.
        """
        return self.package == vulnerability.package and self.id in vulnerability.ids and today <= self.until


def accepted(path: Path) -> list[Accepted]:
    """Read what is borne.

    :param path: the file.
    """
    return [Accepted(**entry) for entry in tomllib.loads(path.read_text()).get("accepted", [])]


def ask(lock: Path, service: Sequence[str], seconds: float) -> list[dict[str, Any]] | None:
    """Ask what is known of all that is locked.

    :param lock: the lock file.
    :param service: arguments of pip-audit that say whom to ask.
    :param seconds: how long that may take.
    :returns: what pip-audit says of each package; None where nobody could be asked.
    """
    command = [sys.executable, "-m", "pip_audit", *service, "-r", str(lock), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(0.0, seconds), check=False)
    except subprocess.TimeoutExpired:
        return None
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    return packages


def vulnerabilities(packages: Iterable[dict[str, Any]]) -> list[Vulnerability]:
    """Return those that are known.

    :param packages: what pip-audit says.
    """
    return [
        Vulnerability(
            each["name"],
            each["version"],
            tuple(sorted({known["id"], *known["aliases"]})),
            tuple(known["fix_versions"]),
        )
        for each in packages
        for known in each.get("vulns", [])
    ]


def report(
    packages: list[dict[str, Any]], borne: list[Accepted], today: dt.date, *, complete: bool = True
) -> int:
    """Tell what was found.

    :param packages: what pip-audit says.
    :param borne: what is borne.
    :param today: the day.
    :param complete: whether the service could be asked about all lock files.
    :returns: the exit code.
    """
    found = vulnerabilities(packages)
    new = [each for each in found if not any(one.covers(each, today) for one in borne)]
    for each in new:
        print(f"VULNERABLE: {each}")
    for one in borne:
        if not any(one.covers(each, today) for each in found):
            print(f"Accepted in vain, or for too long: {one.package} {one.id} until {one.until}")
    unknown = [each["name"] for each in packages if "skip_reason" in each]
    print(f"{len(packages)} packages: {len(new)} vulnerabilities, {len(found) - len(new)} more are accepted")
    if unknown:
        print(
            f"NOT AUDITED: the service knows nothing of {len(unknown)} packages: {', '.join(unknown[:5])} …"
        )
    if not complete:
        print("NOT AUDITED: the service could not be asked about all lock files")
    return FOUND if new else UNKNOWN if unknown or not complete else 0


def main(arguments: list[str] | None = None) -> int:
    """Audit the lock files.

    :param arguments: the command line's arguments.
    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.audit", description=__doc__)
    parser.add_argument("locks", nargs="*", type=Path, help="lock files; all by default")
    parser.add_argument("--osv-url", help="ask this OSV service, not PyPI")
    parser.add_argument(
        "--where-possible", action="store_true", help="where it cannot be asked, say so, and do not fail"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all of it (default: %(default)g)")
    chosen = parser.parse_args(arguments)
    service = ["-s", "osv", "--osv-url", chosen.osv_url] if chosen.osv_url else ["-s", "pypi"]
    deadline = time.monotonic() + chosen.seconds
    answers: list[list[dict[str, Any]] | None] = []
    for lock in chosen.locks or sorted(LOCKS.glob("*.txt")):
        answers.append(ask(lock, service, deadline - time.monotonic()))
        if answers[-1] is None:  # it would not answer the next question either
            break
    packages = {str(sorted(each.items())): each for answer in answers for each in answer or []}
    code = report(
        list(packages.values()),
        accepted(ACCEPTED),
        dt.datetime.now(dt.UTC).date(),
        complete=None not in answers,
    )
    return 0 if code == UNKNOWN and chosen.where_possible else code


if __name__ == "__main__":
    sys.exit(main())
