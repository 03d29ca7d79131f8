"""How long a run with 100,000 stored evaluations takes to show and to open for resuming.

    python benchmarks/run_database.py [--json]

The baseline is an empty Python process that imports the command line (for `show`), or torch (for resuming).
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evospace.estimation.evaluation import Evaluation
from evospace.ops.pools import POOLS
from evospace.runs.database import RunDatabase
from evospace.runs.files import write_json
from evospace.runs.front import Front
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.skeleton import make_skeleton
from evospace.strategies.contract import RoundResult, SearchState

ROUNDS, SAMPLES, REPEATS = 20, 5000, 3


def fill(run: Path) -> None:
    rng = numpy_generator(0, "benchmark")
    names = [spec.name for spec in POOLS["mobile27"]]
    skeleton = make_skeleton(None, image_size=28, image_channels=1)
    blocks = len(skeleton.blocks())
    database = RunDatabase(run / "run.db")
    database.create()
    everything = (tuple(names),) * blocks
    for number in range(1, ROUNDS + 1):
        drawn = [
            Evaluation(
                architecture=Architecture.of(rng.choice(names, 2) for _ in range(blocks)),
                macs=i + 1, params=1, accuracy=i / SAMPLES, round=number,
            )
            for i in range(SAMPLES)
        ]  # fmt: skip
        front = tuple(drawn[-5:])
        state = SearchState(round=number, rounds=ROUNDS, inherited=everything, waiting=((),) * blocks, front=front)
        summary = {
            "round": number, "active": 1, "pruned": 0, "expected_cost": 1.0, "front": 5, "best": 0.5,
            "hypervolume": 0.1, "rehearsed_hypervolume": None,
        }  # fmt: skip
        database.add(
            RoundResult(
                state=state, evaluations=tuple(drawn), failed=(), ledger=(), hypervolume=0.1,
                rehearsed_hypervolume=None, summary=summary,
            )
        )  # fmt: skip
    classes = tuple("0123456789")
    stored = Front(budget="macs=1M", data="d", class_names=classes, skeleton=skeleton, seed=0, members=front)
    write_json(run / "front.json", stored.to_json())


def seconds(*args: str) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.monotonic()
        subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - start)
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        fill(run)
        opening = "import sys, torch; from pathlib import Path; from evospace.runs.database import RunDatabase;"
        opening += "d = RunDatabase(Path(sys.argv[1])); d.check(); d.states()"
        measured = {
            "evaluations": ROUNDS * SAMPLES,
            "bytes": (run / "run.db").stat().st_size,
            "show_seconds": seconds("-m", "evospace", "show", str(run)),
            "show_baseline_seconds": seconds("-c", "import evospace.cli"),
            "resume_open_seconds": seconds("-c", opening, str(run / "run.db")),
            "resume_open_baseline_seconds": seconds("-c", "import torch"),
        }
    measured["show_over_baseline"] = measured["show_seconds"] / measured["show_baseline_seconds"]
    measured["resume_open_over_baseline"] = measured["resume_open_seconds"] / measured["resume_open_baseline_seconds"]
    lines = [f"{key:<30} {value:.4g}" for key, value in measured.items()]
    print(json.dumps(measured) if "--json" in sys.argv else "\n".join(lines))


if __name__ == "__main__":
    main()
