"""Measure how many small mistakes the tests find: mutation testing (``make mutants``).

A mutant is the package with one change, such as ``<=`` for ``<``. A test of its area that fails kills it. The
script runs a sample in copies of the tree with ``--quick``, and with ``--full`` its survivors without it.
The sample depends on the seed and the code only, and a smaller sample is the beginning of a larger one. The
results are in ``build/mutants.jsonl``. This module is also a pytest plugin, which runs fast tests first.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import accumulate, zip_longest
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "airflow_provider_codeocean"
RESULTS = CHECKOUT / "build" / "mutants.jsonl"
#: The modules of each area, and the tests that must kill their mutants.
AREAS = {
    "submission": (
        "submission/*.py",
        "tests/submission tests/operators/_submit_once tests/operators/test_submission_faults.py",
    ),
    "polling": ("polling/*.py", "tests/polling"),
    "files": ("files/*.py", "tests/files"),
    "api": ("api/re[ts][rp]*.py api/endpoint.py", "tests/api"),
}
#: The options of ``make test``, without its checks.
_QUICK = ("--quick", "-m", "quick or not (e2e or ui or long or checks)")
_OPTIONS = ("-x", "-q", "--tb=no", "--timeout=60", "--hypothesis-seed=0", "-p", "no:cacheprovider")
_NOT_RUN_EXIT_CODES = (4, 5)  # wrong arguments, no tests
_UNCHANGED_TIMEOUT_SECONDS = 1800.0
_DURATIONS_VARIABLE = "MUTANTS_DURATIONS"

_PAIRS: list[tuple[type[ast.AST], type[ast.AST]]] = [
    (ast.And, ast.Or),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.In, ast.NotIn),
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitOr, ast.BitAnd),
]
_SWAPS = dict(_PAIRS) | {new: old for old, new in _PAIRS} | {ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult}
_NEGATIONS = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
#: Texts, types, and log lines, which are not changed.
_SKIPPED_PREFIXES = ("log.", "Literal[", "TypeVar(", "__all__ ", "if TYPE_CHECKING:")
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list"}


@dataclass(frozen=True)
class Mutant:
    """A replacement of the text between two offsets, in bytes."""

    area: str
    path: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        return " ".join(f"{self.path.partition('/')[2]}:{self.line}: {self.old} → {self.new}".split())


def _find_changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield nodes of a tree, and their replacements."""
    if _is_skipped(node):
        return
    yield from _change_statement(node) if isinstance(node, ast.stmt | ast.IfExp) else _change_expression(node)
    skipped_fields = _SKIPPED_FIELDS | ({"keywords"} if isinstance(node, ast.ClassDef) else set())
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in skipped_fields:
                yield from _find_changes(child)


def _is_skipped(node: ast.AST) -> bool:
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    # Python 3.11 does not know the offsets in an f-string.
    if is_docstring or isinstance(node, ast.JoinedStr):
        return True
    return not isinstance(node, ast.Module) and ast.unparse(node).startswith(_SKIPPED_PREFIXES)


def _change_statement(node: ast.stmt | ast.IfExp) -> Iterator[tuple[ast.AST, str]]:
    if _is_removable(node):
        yield node, "pass"
    elif isinstance(node, ast.If | ast.IfExp) and not _has_negated_mutant(node.test):
        yield node.test, f"(not ({ast.unparse(node.test)}))"
    elif isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        yield node, "return None"


def _change_expression(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Compare(ops=operators):
            for index, operator in enumerate(operators):
                swapped = [*operators[:index], _SWAPS[type(operator)](), *operators[index + 1 :]]
                yield node, _unparse_with(node, ops=swapped)
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator):
            if type(operator) in _SWAPS and not _is_type_union(node):
                yield node, _unparse_with(node, op=_SWAPS[type(operator)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() | float() as value):
            yield node, str(value + 1)
        case ast.Constant(value=str() as value) if " " not in value:
            yield node, repr(f"{value}_")


def _unparse_with(node: ast.AST, **fields: object) -> str:
    changed = copy.copy(node)
    vars(changed).update(fields)
    return f"({ast.unparse(changed)})"


def _is_removable(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Continue | ast.Break | ast.Delete)


def _is_type_union(node: ast.BinOp | ast.BoolOp) -> bool:
    names = [child.id.lstrip("_") for child in ast.walk(node) if isinstance(child, ast.Name)]
    types = [name for name in names if name in dir(builtins) or (name[:1].isupper() and not name.isupper())]
    return isinstance(node.op, ast.BitOr) and bool(types)


def _has_negated_mutant(test: ast.expr) -> bool:
    """Return whether another change of the condition is its negation."""
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and isinstance(test.ops[0], _NEGATIONS)
    return isinstance(test, ast.UnaryOp)


def find_mutants(area: str, path: Path) -> list[Mutant]:
    """Return all mutants of a module."""
    source, name = path.read_bytes(), path.relative_to(CHECKOUT).as_posix()
    line_starts = [0, *accumulate(map(len, source.splitlines(keepends=True)))]
    mutants = []
    for node, new in _find_changes(ast.parse(source)):
        line: int = node.lineno  # type: ignore[attr-defined]
        start = line_starts[line - 1] + node.col_offset  # type: ignore[attr-defined]
        end = line_starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        mutants.append(Mutant(area, name, line, start, end, source[start:end].decode(), new))
    return mutants


def choose_mutants(count: int, seed: int) -> list[Mutant]:
    """Choose mutants at random: equally many of each module, or all that it has."""
    modules = []
    for area, (patterns, _) in AREAS.items():
        for path in sorted(path for pattern in patterns.split() for path in PACKAGE.glob(pattern)):
            mutants = find_mutants(area, path)
            random.Random(f"{seed} {path.relative_to(CHECKOUT).as_posix()}").shuffle(mutants)  # noqa: S311
            modules.append(mutants)
    return [mutant for row in zip_longest(*modules) for mutant in row if mutant][:count]


class TestTree:
    """A copy of the tree, in which one module at a time is changed."""

    __test__ = False  # this module is a pytest plugin, but has no tests

    def __init__(self, folder: Path) -> None:
        self._root = folder / "tree"
        self._temporary = folder / "tmp"
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
        for name in listing.split("\0")[:-1]:
            (self._root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, self._root / name)

    def run_tests(self, area: str, *, quick: bool, timeout: float) -> str:
        """Run the tests of an area until one fails, and return its name; the empty text if all pass."""
        for leftover in (self._temporary, self._root / ".hypothesis"):
            shutil.rmtree(leftover, ignore_errors=True)
        self._temporary.mkdir()
        options = [*_OPTIONS, "-p", "scripts.mutants", *(_QUICK if quick else ())]
        durations = self._root.parent.with_name(f"{area}-{'quick' if quick else 'full'}.json")
        variables = {"PYTHONPATH": str(self._root), "TMPDIR": str(self._temporary)}
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *AREAS[area][1].split()],
            cwd=self._root,
            env=os.environ | variables | {_DURATIONS_VARIABLE: str(durations)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode in _NOT_RUN_EXIT_CODES:
            raise RuntimeError(f"the tests of {area} did not run:\n{output}")
        failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
        failure = failed[0].split(" - ")[0] if failed else f"exit code {process.returncode}"
        return failure if process.returncode else ""

    def run_mutant(self, mutant: Mutant, *, quick: bool, timeout: float) -> str:
        """Run the tests on a mutant; see :meth:`run_tests`."""
        path = self._root / mutant.path
        source = path.read_bytes()
        path.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
        try:
            return self.run_tests(mutant.area, quick=quick, timeout=timeout)
        finally:
            path.write_bytes(source)


_durations: dict[str, float] = defaultdict(float)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by their durations in the first run."""
    path = Path(os.environ[_DURATIONS_VARIABLE])
    known = json.loads(path.read_text()) if path.exists() else {}
    items.sort(key=lambda item: known.get(item.nodeid, 0.0))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the durations of a test and its fixtures."""
    _durations[report.nodeid] += report.duration


def pytest_sessionfinish() -> None:
    """Save the durations of the first run."""
    path = Path(os.environ[_DURATIONS_VARIABLE])
    if not path.exists():
        path.write_text(json.dumps(_durations))


def run_mutants(mutants: list[Mutant], *, quick: bool, processes: int) -> Iterator[tuple[Mutant, str]]:
    """Run mutants, and yield each with the test that failed, or with the empty text if it survived.

    :raises RuntimeError: if a test fails without a change.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(processes) as pool:
        trees: SimpleQueue[TestTree] = SimpleQueue()
        for index in range(processes):
            trees.put(TestTree(Path(folder, str(index))))

        def run_unchanged(area: str) -> float:
            tree, started_at = trees.get(), time.monotonic()
            if failure := tree.run_tests(area, quick=quick, timeout=_UNCHANGED_TIMEOUT_SECONDS):
                raise RuntimeError(f"{failure} fails without a change")
            trees.put(tree)
            return 60 + 3 * (time.monotonic() - started_at)

        def run_mutant(mutant: Mutant) -> tuple[Mutant, str]:
            tree = trees.get()
            failure = tree.run_mutant(mutant, quick=quick, timeout=timeouts[mutant.area])
            trees.put(tree)
            return mutant, failure

        areas = list(dict.fromkeys(mutant.area for mutant in mutants))
        timeouts = dict(zip(areas, pool.map(run_unchanged, areas), strict=True))
        yield from pool.map(run_mutant, mutants)


def main() -> None:
    """Run a sample, and print the survivors and the scores."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=150, help="number of mutants; default: 150")
    parser.add_argument("--seed", type=int, default=1, help="chooses another sample; default: 1")
    parser.add_argument("--processes", type=int, default=1, help="number of mutants at a time; default: 1")
    parser.add_argument("--full", action="store_true", help="run survivors again without --quick")
    arguments = parser.parse_args()
    mutants = choose_mutants(arguments.count, arguments.seed)
    totals = Counter(mutant.area for mutant in mutants)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w") as file:
        for quick in (True, False) if arguments.full else (True,):
            survivors = []
            print("== with --quick" if quick else "== without --quick", flush=True)
            for mutant, failure in run_mutants(mutants, quick=quick, processes=arguments.processes):
                print(
                    json.dumps(asdict(mutant) | {"quick": quick, "failure": failure}), file=file, flush=True
                )
                if not failure:
                    survivors.append(mutant)
                    print(f"survived: {mutant}", flush=True)
            survived = Counter(mutant.area for mutant in survivors)
            for area, total in [*totals.items(), ("all", totals.total())]:
                killed = total - (survived.total() if area == "all" else survived[area])
                print(f"{area:<12}{total:>5} mutants{killed:>5} killed{killed / total:>8.0%}", flush=True)
            mutants = survivors


if __name__ == "__main__":
    main()
