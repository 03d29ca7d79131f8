"""One folder of several studies, to be drawn and told by `evospace study report`.

python benchmarks/studies_together.py OUT BASE OVER METHOD...: the study in BASE, less what it has of the methods named,
whose rows in OVER stand in their place: the rivals in their forms of now in docs/results/study.md.
"""

import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path


def together(out: Path, base: Path, over: Path, methods: Sequence[str]) -> None:
    """Write `out`, which must not be there yet; each of `methods` is taken from `over` alone."""
    (out / "jobs").mkdir(parents=True)
    for name in ("study.db", "study.yaml", "environment.json"):
        shutil.copyfile(base / name, out / name)
    with closing(sqlite3.connect(out / "study.db", isolation_level=None)) as database:
        database.execute("ATTACH DATABASE ? AS newer", (str(over / "study.db"),))
        for method in methods:
            database.execute("DELETE FROM main.jobs WHERE variant = ?", (method,))
            database.execute("INSERT INTO main.jobs SELECT * FROM newer.jobs WHERE variant = ?", (method,))


if __name__ == "__main__":
    out, base, over, *methods = sys.argv[1:]
    together(Path(out), Path(base), Path(over), methods)
