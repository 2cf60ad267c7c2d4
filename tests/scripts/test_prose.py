from __future__ import annotations

import pytest

from scripts.prose import main, measure_prose

DIALECT = "The client is told what is wrong."


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"Fine.\n\n```\n{DIALECT}\n```\n{DIALECT}\n")
    return path


def test_measure_markdown_skips_code_blocks(page):
    words, matches = measure_prose([page])
    assert words == 8
    assert {match.line for match in matches} == {6}
    assert len(matches) == 2


def test_measure_python_reads_comments_and_strings(tmp_path):
    (tmp_path / "module.py").write_text(f'"""First line.\n\n{DIALECT}\n"""\n\ntold = 1  # as it was told\n')
    _, matches = measure_prose([tmp_path])
    assert sorted(match.line for match in matches) == [3, 3, 6]


def test_main_above_limit_lists_lines_and_fails(page, capsys):
    assert main(["--limit", "1.0", str(page)]) == 1
    output = capsys.readouterr().out
    assert f"{page}:6: " in output
    assert output.endswith("prose: 8 words, 2 matches, 250.00 per 1,000 (limit: 1)\n")


def test_main_below_limit_prints_only_the_rate(page, capsys):
    assert main(["--limit", "300", str(page)]) == 0
    assert capsys.readouterr().out == "prose: 8 words, 2 matches, 250.00 per 1,000 (limit: 300)\n"
