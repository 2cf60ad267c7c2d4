"""300 computations finish within a second, the triggerer is killed: ``make bench BENCH=events``.

It is the end-to-end test of that, in a real Airflow, with more of them: all are captured, none twice, and the
requests are counted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TEST = Path(__file__).parent.parent / "e2e" / "test_events.py"
COMPUTATION_COUNT = "300"

if __name__ == "__main__":
    os.environ.setdefault("EVENTS_COMPUTATIONS", COMPUTATION_COUNT)
    sys.exit(pytest.main(["-q", "-k", "finishes_together", str(TEST)]))
