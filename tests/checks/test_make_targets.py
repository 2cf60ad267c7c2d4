"""The checks that are not tests: one test for each, so that they run beside the others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent


@pytest.mark.checks
@pytest.mark.timeout(400)
@pytest.mark.parametrize("target", ["lint", "docs"])
def test_make_target_succeeds(target):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "AIRFLOW"))}
    done = subprocess.run(
        ["make", target], cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=380, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
