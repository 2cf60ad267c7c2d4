"""The matrix runs each row in an environment of its own, and is silent about nothing that it did not run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree as ET

import pytest

from scripts import matrix
from scripts.junit import JUnitResults, read_results
from scripts.matrix import (
    LOWEST,
    MatrixRow,
    StepResult,
    all_rows,
    find_python,
    is_pre_release,
    locked_releases,
    main,
    parse_row,
    render_summary,
    run_step,
    supported_releases,
)

pytestmark = pytest.mark.long

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = next(python for python in matrix.PYTHONS if python != OWN)

TESTS = """
import pytest

def test_passes(): pass
@pytest.mark.parametrize("number", [1, 2])
def test_skips(number): pytest.skip("not on this one")
def test_fails(): assert False
@pytest.fixture
def broken(): raise ValueError
def test_has_a_broken_fixture(broken): pass
@pytest.mark.xfail(reason="known")
def test_fails_as_expected(): assert False
"""


def outcome(row, results, exit_code=0):
    return StepResult(row, "3.11.7", "unit", results, exit_code, 61.2, 93.4)


@pytest.fixture
def no_python(tmp_path, monkeypatch):
    """A machine on which there is no Python."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)


def test_matrix_rows_cover_each_airflow_and_python():
    assert [str(row) for row in all_rows()] == [
        "2.11-lowest",
        "2.11",
        "3.0",
        "3.1",
        "3.2",
        "3.3/3.11",
        "3.3/3.12",
        "3.3/3.13",
        "3.3/3.14",
        "3.4",
    ]
    assert [parse_row(str(row)) for row in all_rows()] == all_rows()


def test_row_environments_are_distinct():
    names = [row.environment.name for row in all_rows()]
    assert len(set(names)) == len(names)
    assert MatrixRow("3.3").environment == MatrixRow("3.3", OWN).environment == matrix.CHECKOUT / ".venv"
    assert MatrixRow("3.3", OTHER).environment.name == f".venv-3.3-py{OTHER}"
    assert MatrixRow("2.11").environment.name == ".venv-2.11"
    assert MatrixRow("3.4").environment.name == ".venv-3.4"


def test_supported_releases_are_final():
    assert locked_releases() == [*supported_releases(), "3.4"]
    assert [is_pre_release(release) for release in ("3.3", "3.4", LOWEST)] == [False, True, False]


@pytest.mark.parametrize(
    ("name", "message"),
    [("2.10", "Airflow 2.10 is not supported"), ("3.3/3.9", "Python must be one of 3.11")],
)
def test_main_with_unsupported_row_is_rejected(name, message, capsys):
    with pytest.raises(SystemExit):
        main([name])
    assert message in capsys.readouterr().err


def test_find_python_returns_the_version_of_the_row():
    python = find_python(MatrixRow("3.3", OWN))
    assert python is not None
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == OWN


def test_find_python_unsupported_by_airflow_returns_none():
    assert find_python(MatrixRow("2.11", "3.13")) is None


def test_find_python_from_pyenv_is_found_outside_the_path(tmp_path, no_python):
    folder = tmp_path / "versions" / f"{OWN}.99" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    assert find_python(MatrixRow("3.3", OWN)) == str(folder / "python")


@pytest.mark.parametrize(("arguments", "exit_code"), [([], 1), (["--where-possible"], 0)])
def test_row_without_its_python_is_reported_as_not_run(no_python, capsys, arguments, exit_code):
    assert main([f"3.3/{OTHER}", *arguments]) == exit_code
    assert f"3.3/{OTHER}          NOT RUN: no Python {OTHER} on this machine" in capsys.readouterr().out


def test_main_environment_timeout_fails(tmp_path, monkeypatch, capsys):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "airflow-3.3.txt").touch()
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "setup_env"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o700)
    monkeypatch.setattr(matrix, "CHECKOUT", tmp_path)
    monkeypatch.setattr(matrix, "find_python", lambda row: sys.executable)
    monkeypatch.setattr(matrix, "_SETUP_TIMEOUT_SECONDS", 0.2)
    assert main(["3.3", "--where-possible"]) == 1
    assert "NOT RUN: its environment could not be created" in capsys.readouterr().out


def test_read_results_counts_outcomes(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "test_it.py",
        f"--junitxml={report}",
    ]
    done = subprocess.run(command, cwd=tmp_path, timeout=60, check=False, capture_output=True)
    assert done.returncode == 1
    assert read_results(report) == JUnitResults(1, 2, Counter({"not on this one": 2, "known": 1}))
    assert read_results(report).skipped == 3


def test_read_results_skipped_module_has_its_reason(tmp_path):
    skip = 'pytest.skip("Airflow 2 has no asset watchers", allow_module_level=True)'
    (tmp_path / "test_watchers.py").write_text(f"import pytest\n{skip}\n")
    (tmp_path / "test_it.py").write_text("def test_passes(): pass\n")
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run(command, cwd=tmp_path, timeout=60, check=True, capture_output=True)
    assert read_results(report) == JUnitResults(
        1, 0, Counter({"all of test_watchers: Airflow 2 has no asset watchers": 1})
    )


@pytest.fixture
def few_tests(tmp_path, monkeypatch):
    """A step of these few tests."""
    path = tmp_path / "test_it.py"
    path.write_text(TESTS)
    monkeypatch.setitem(matrix.STEPS, "unit", [str(path), "-p", "no:cacheprovider"])
    monkeypatch.setattr(matrix, "LOG_FOLDER", tmp_path / "logs")


def test_run_step_returns_results_and_cpu_time(few_tests, capsys):
    went = run_step(MatrixRow("3.3"), "unit")
    assert (went.exit_code, went.results) == (
        1,
        JUnitResults(1, 2, Counter({"not on this one": 2, "known": 1})),
    )
    assert not went.has_passed
    assert went.cpu_seconds > 0
    told = capsys.readouterr().out
    assert told.startswith(f"== Airflow 3.3, Python {went.python}: unit\n1 failed, 1 passed")
    assert "3.3-unit.log" in told


def test_run_step_timeout_has_no_results(few_tests, monkeypatch, capsys):
    monkeypatch.setattr(matrix, "_STEP_TIMEOUT_SECONDS", 0.05)
    went = run_step(MatrixRow("3.3"), "unit")
    assert (went.exit_code, went.results, went.has_passed) == (None, None, False)


def test_read_results_truncated_report_raises_parse_error(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text("<testsuites><testsuite>")
    with pytest.raises(ET.ParseError):
        read_results(report)


def test_render_summary_lists_each_skip_reason_with_its_rows():
    old, new = MatrixRow("2.11"), MatrixRow("3.3", "3.12")
    text = render_summary(
        [
            outcome(old, JUnitResults(8, 0, Counter({"a": 2, "b": 1}))),
            outcome(new, JUnitResults(10, 0, Counter({"b": 1}))),
        ],
        {},
    )
    assert "2.11        3.11.7   unit           8       0        3       61       93\n" in text
    assert text.endswith("- a (2 on 2.11)\n- b (1 on 2.11, 1 on 3.3/3.12)")


@pytest.mark.parametrize(
    ("results", "exit_code"),
    [
        (JUnitResults(1, 1), 1),
        (JUnitResults(1, 0), 2),
        (None, 0),
        (JUnitResults(1, 0), None),
        (JUnitResults(0, 0, Counter({"not on this one": 9})), 0),
    ],
)
def test_render_summary_unsuccessful_step_is_failed(results, exit_code):
    assert "FAILED" in render_summary([outcome(MatrixRow("3.0"), results, exit_code)], {})
    assert "FAILED" not in render_summary([outcome(MatrixRow("3.0"), JUnitResults(1, 0))], {})
