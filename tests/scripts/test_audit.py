"""``make audit`` finds what a vulnerability service knows, and never takes silence for an answer."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts import audit

pytestmark = pytest.mark.long

TODAY = dt.date(2026, 11, 21)
KNOWN = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-0001"],
    "summary": "It is bad",
    "affected": [
        {
            "package": {"name": "weak", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@pytest.fixture
def osv():
    """The address of a service that knows one vulnerability."""

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            weak = asked["package"]["name"] == "weak" and asked["version"] == "1.0"
            answer = json.dumps({"vulns": [KNOWN]} if weak else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join(timeout=10)


def lock(path, *lines):
    path.write_text("\n".join(lines))
    return str(path)


def accept(path, monkeypatch, **entry):
    lines = [
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in entry.items()
    ]
    path.write_text("[[accepted]]\n" + "\n".join(lines))
    monkeypatch.setattr(audit, "ACCEPTED_PATH", path)


def test_audit_known_vulnerability_fails(osv, tmp_path, capsys):
    strong, weak = lock(tmp_path / "a.txt", "strong==1.0"), lock(tmp_path / "b.txt", "weak==1.0")
    assert audit.main([strong, weak, "--osv-url", osv]) == audit.EXIT_VULNERABLE
    printed = capsys.readouterr().out
    assert "VULNERABLE: weak 1.0: CVE-2026-0001, GHSA-aaaa-bbbb-cccc (fixed in 1.1)" in printed
    assert "2 packages: 1 vulnerabilities" in printed


def test_audit_without_vulnerabilities_passes(osv, tmp_path):
    assert audit.main([lock(tmp_path / "a.txt", "strong==1.0", "weak==1.1"), "--osv-url", osv]) == 0


@pytest.mark.parametrize(("until", "code"), [("2999-01-01", 0), ("2026-01-01", audit.EXIT_VULNERABLE)])
def test_audit_accepted_vulnerability_passes_until_its_date(osv, tmp_path, monkeypatch, until, code):
    until = dt.date.fromisoformat(until)
    accept(
        tmp_path / "accepted", monkeypatch, package="weak", id="CVE-2026-0001", until=until, reason="no harm"
    )
    assert audit.main([lock(tmp_path / "a.txt", "weak==1.0"), "--osv-url", osv]) == code


def test_audit_without_service_is_incomplete(tmp_path, capsys, unused_tcp_port):
    arguments = [lock(tmp_path / "a.txt", "strong==1.0"), "--osv-url", f"http://127.0.0.1:{unused_tcp_port}/"]
    assert audit.main(arguments) == audit.EXIT_INCOMPLETE
    assert "NOT AUDITED: the service did not respond for all lock files" in capsys.readouterr().out
    assert audit.main([*arguments, "--where-possible"]) == 0


def test_audit_service_timeout_is_incomplete(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        locks = [lock(tmp_path / f"{name}.txt", "strong==1.0") for name in "ab"]
        began = time.monotonic()
        assert audit.main([*locks, "--osv-url", url, "--seconds", "0.5"]) == audit.EXIT_INCOMPLETE
    assert time.monotonic() - began < 10
    assert "NOT AUDITED: the service did not respond for all lock files" in capsys.readouterr().out


def test_audit_unknown_package_is_incomplete(capsys):
    packages = [{"name": "strong", "version": "1", "vulns": []}, {"name": "x", "skip_reason": "not found"}]
    assert audit.report(packages, [], TODAY) == audit.EXIT_INCOMPLETE
    assert "NOT AUDITED: the service does not know 1 packages: x" in capsys.readouterr().out


def test_audit_report_lists_obsolete_acceptances(capsys):
    borne = [audit.AcceptedVulnerability("gone", "CVE-1", TODAY, "it was there once")]
    assert audit.report([{"name": "strong", "version": "1", "vulns": []}], borne, TODAY) == 0
    assert "Unused or expired entry: gone CVE-1" in capsys.readouterr().out


def test_accepted_list_of_the_project_is_readable():
    assert all(each.reason and each.until for each in audit.read_accepted(audit.ACCEPTED_PATH))
