from __future__ import annotations

from scripts.emulator_process import read_env_file


def test_read_env_file_parses_shell_assignments(tmp_path):
    path = tmp_path / "env"
    path.write_text(
        "# made by the emulator\n"
        "CODEOCEAN_URL=http://127.0.0.1:4321\n"
        "export CODEOCEAN_TOKEN='cop_a b'\n"
        "\n"
        'CODEOCEAN_COMPUTATION_ID="x=y"\n'
        "CODEOCEAN_HALF=not yet writ"
    )
    assert read_env_file(path) == {
        "CODEOCEAN_URL": "http://127.0.0.1:4321",
        "CODEOCEAN_TOKEN": "cop_a b",
        "CODEOCEAN_COMPUTATION_ID": "x=y",
    }


def test_read_env_file_missing_file_returns_empty_mapping(tmp_path):
    assert read_env_file(tmp_path / "none") == {}
