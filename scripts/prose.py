"""Measure how often docstrings, comments, messages, and pages use wording that the style guide forbids.

``python -m scripts.prose [PATH...]`` prints the number of matches per 1,000 words, and the worst lines. With
``--limit``, it fails above that number, and lists the lines only then. CONTRIBUTING.md has the rules.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SUFFIXES = {".md", ".py"}
DEFAULT_PATHS = (
    "airflow_provider_codeocean",
    "dags_examples",
    "docs",
    "scripts",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
)
_THIS_FILE = Path(__file__).resolve()  # names the forbidden words

_WHERE_CLAUSE = (
    "it|there|that|the|a|an|one|no|none|nothing|they|this|any|all|not|Airflow|Code Ocean|some|more|its|each"
)
_WHAT_CLAUSE = "is|was|has|a|an|the|there|it|they|may|can|to|of|others|becomes|comes"
_WHO_CLAUSE = "is|was|waits|creates|has|may|asks|watches|gets|took|takes|looks|wants|does|reads"

#: Forbidden wording by its remedy.
FORBIDDEN_PATTERNS = {
    "use 'if' or 'when'": re.compile(rf"\bwhere ({_WHERE_CLAUSE})\b"),
    "use a noun as subject": re.compile(rf"\b[Ww]hat ({_WHAT_CLAUSE})\b"),
    "name the person": re.compile(rf"\b[Ww]ho ({_WHO_CLAUSE})\b"),
    "use 'return', 'log', or 'report'": re.compile(r"\b[Tt](ell|old|ells|elling)\b"),
    "use 'tolerate'": re.compile(r"\b[Bb](ear|orne|ears)\b"),
    "use 'fix' or 'recover'": re.compile(r"\b[Mm]end(s|ed)?\b"),
    "use 'continue' or 'adopt'": re.compile(r"\b(gone|go|goes|going) on with\b"),
    "use 'poll', 'read', or 'request'": re.compile(r"\b([Aa]|one|each|two|last|first|next|several) looks?\b"),
    "use 'record' or 'handle'": re.compile(r"\bTake (that|what|how)\b"),
    "use 'again' or 'next to', or nothing": re.compile(r"\b(by now|anew|beside)\b"),
    "use 'must' or the plain verb": re.compile(r"\b(is|are|was|were) to (be|go|have|say|stay|end|begin)\b"),
}


@dataclass(frozen=True)
class Match:
    """One forbidden wording.

    :param line: the line number, counted from 1; in a string of several lines, an estimate.
    :param rule: the key in :data:`FORBIDDEN_PATTERNS`.
    :param text: the line of prose.
    """

    path: Path
    line: int
    rule: str
    text: str


def extract_prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the prose of a file as line numbers and texts.

    :param path: a Markdown file (without code blocks), or a Python file (comments, strings with spaces).
    """
    source = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".md":
        is_code = False
        for number, line in enumerate(source.splitlines(), start=1):
            if line.lstrip().startswith("```"):
                is_code = not is_code
            elif not is_code:
                yield number, line
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files to measure.

    :param paths: files, and folders to search.
    """
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in _SUFFIXES and file.resolve() != _THIS_FILE:
                yield file


def measure_prose(paths: Iterable[Path]) -> tuple[int, list[Match]]:
    """Return the number of words, and each forbidden wording.

    :param paths: files and folders.
    """
    words = 0
    matches: list[Match] = []
    for path in find_files(paths):
        for first_line, text in extract_prose(path):
            words += len(re.findall(r"[A-Za-z']+", text))
            lines = text.splitlines()
            for rule, pattern in FORBIDDEN_PATTERNS.items():
                for found in pattern.finditer(text):
                    offset = text.count("\n", 0, found.start())
                    matches.append(Match(path, first_line + offset, rule, lines[offset].strip()))
    return words, matches


def main(arguments: list[str] | None = None) -> int:
    """Print the measure.

    :param arguments: the command line; ``sys.argv`` by default.
    :returns: the exit code: 1 if the limit is exceeded.
    """
    parser = argparse.ArgumentParser(
        prog="python -m scripts.prose", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path(path) for path in DEFAULT_PATHS],
        metavar="PATH",
        help="a file, or a folder with .py and .md files (default: the package, scripts, and docs)",
    )
    parser.add_argument("--limit", type=float, help="fail above this number of matches per 1,000 words")
    parser.add_argument(
        "--worst", type=int, default=20, help="number of lines to list (default: %(default)s)"
    )
    options = parser.parse_args(arguments)

    words, matches = measure_prose(options.paths)
    rate = 1000 * len(matches) / max(1, words)
    by_line = Counter((match.path, match.line, match.text) for match in matches)
    rules = {(match.path, match.line, match.text): match.rule for match in matches}
    is_above_limit = options.limit is not None and rate > options.limit
    if options.limit is None or is_above_limit:
        for rule, count in Counter(match.rule for match in matches).most_common():
            print(f"{1000 * count / words:6.2f}  {rule}")
        for position, _ in by_line.most_common(options.worst):
            path, line, text = position
            print(f"{path}:{line}: {rules[position]}\n    {text}")
    limit = "" if options.limit is None else f" (limit: {options.limit:g})"
    print(f"prose: {words:,} words, {len(matches)} matches, {rate:.2f} per 1,000{limit}")
    return int(is_above_limit)


if __name__ == "__main__":
    sys.exit(main())
