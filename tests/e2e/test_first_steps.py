"""``docs/index.md`` as a newcomer follows it: its DAGs and commands, as they stand, in a fresh home."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PAGE = (Path(__file__).parent.parent.parent / "docs" / "index.md").read_text()
DAGS = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "with DAG" in code]
COMMANDS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def test_landing_page_commands_succeed_in_fresh_home(emulator, tmp_path):
    install, start, connect, *runs = COMMANDS
    assert install.startswith("pip install")
    assert start.startswith("python -m airflow_provider_codeocean.emulator")
    dags = tmp_path / "dags"
    dags.mkdir()
    sdk = (
        "airflow.providers.common.compat.sdk" if version("apache-airflow").startswith("2.") else "airflow.sdk"
    )
    for number, code in enumerate(DAGS):
        (dags / f"dag_{number}.py").write_text(code.replace("from airflow.sdk", f"from {sdk}"))
    variables = "\n".join(f"{name}='{value}'" for name, value in emulator.variables.items())
    (tmp_path / "code-ocean.env").write_text(f"{variables}\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    done = subprocess.run(
        ["bash", "-euxc", connect + "".join(runs)],
        check=False,
        cwd=tmp_path,
        env=inherited
        | {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout
    assert len(runs) == len(DAGS) == 2
    for dag_id in ("first_capture", "run_capture_and_share"):
        assert re.search(rf"dag_id={dag_id}\b.* state=success\b", done.stdout), done.stdout
