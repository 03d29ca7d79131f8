"""NAS-Bench-Macro as a ground truth; its table is not part of the project (set EVOSPACE_NAS_BENCH_MACRO to it)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TABLE = os.environ.get("EVOSPACE_NAS_BENCH_MACRO", "")
SCRIPT = Path(__file__).parent.parent / "benchmarks" / "nas_bench_macro.py"


@pytest.mark.slow
@pytest.mark.skipif(not TABLE, reason="EVOSPACE_NAS_BENCH_MACRO does not name the table")
def test_the_loop_comes_close_to_the_best_front_in_300_of_6561_evaluations() -> None:
    done = subprocess.run([sys.executable, SCRIPT, TABLE, "--json"], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["evolution"] > 0.98 * found["best"]
    assert found["evolution"] <= found["best"]
    assert found["rivals"]["the whole table"]["spos"] >= 18
    assert found["rivals"]["middle third"]["spos"] >= 18
    assert found["rivals"]["the whole table"]["regularized-evolution"] >= 18
