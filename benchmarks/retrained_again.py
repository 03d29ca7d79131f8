"""Does another retraining tell another story? The networks that a study's searches chose, retrained by another recipe.

Reads a study's database (docs/studies/NAME, say), trains every chosen network from scratch with the study's recipe but
the epochs, batch size and rate given, the job's seed, and tests it once. What is done is kept in OUT, one for each
study: the same command goes on, and several at a time share the work. Prints a line per method, and how far nse is
ahead of it, paired by seed.
Run where the study's data lies: python benchmarks/retrained_again.py STUDY OUT --epochs 16 -b 256 --lr 0.2
[--operations 27] [--length 1] [--methods nse,random] [--json]
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from evospace.config import SearchConfig
from evospace.errors import InterruptedRunError
from evospace.experiment import prepare
from evospace.retraining.config import load_recipe
from evospace.runs.files import write_json
from evospace.runs.front import Front
from evospace.runs.lock import claimed
from evospace.settings_file import settings_from
from evospace.space.architecture import Architecture
from evospace.study.database import Finished
from evospace.study.directory import StudyDirectory, drop_large
from evospace.study.paired import difference
from evospace.study.plan import REFERENCE
from evospace.study.retrained import read_object, retrained_and_tested


def main() -> None:
    """Train what is left, seed by seed, then tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("-b", "--batch-size", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--operations", type=int, default=27)
    parser.add_argument("--length", type=int, default=1)
    parser.add_argument("--methods", default="nse,nse-single,random,spos,proxyless")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.out /= f"epochs-{args.epochs}-batch-{args.batch_size}-lr-{args.lr:g}"  # others are other results
    torch.set_num_threads(1)
    methods = args.methods.split(",")
    jobs = [
        job
        for job in StudyDirectory(args.study).database.finished().values()
        if job.result and (job.operations, job.length) == (args.operations, args.length) and job.variant in methods
    ]
    if lacking := set(methods) - {job.variant for job in jobs}:
        parser.error(f"no finished job of {', '.join(sorted(lacking))} at these operations and length in {args.study}")
    for job in sorted(jobs, key=lambda job: (job.seed, methods.index(job.variant))):
        _once(args, job)
    _tell(args, methods, jobs)


def _once(args: argparse.Namespace, job: Finished) -> None:
    """Retrain and test a job's network, unless that is done or another process is at it."""
    folder = args.out / job.key
    stored = folder / "entry.json"
    with claimed(folder) as ours:
        if not ours or stored.exists():
            return
        recipe = load_recipe(StudyDirectory(args.study).require().recipe)
        config = replace(
            recipe,
            flip=recipe.flip and bool(job.settings.get("flip", True)),
            ops=str(job.settings["ops"]),
            network=f"{_front(folder, job)}#0",
            data_dir=str(job.settings["data_dir"]),
            epochs=args.epochs,
            batch_size=args.batch_size,
            lr=args.lr,
            seed=job.seed,
            threads=1,
            out=str(folder / "retrained"),
        )
        write_json(stored, retrained_and_tested(config))
        drop_large(folder)


def _front(folder: Path, job: Finished) -> Path:
    """Write a front of the job's one network."""
    path = folder / "front.json"
    assert job.result is not None
    if not path.exists():
        config = replace(settings_from(SearchConfig, dict(job.settings), job.key), resume=False)
        experiment = prepare(config)
        architecture = Architecture.from_json(job.result["architecture"])
        member = experiment.problem.evaluation(architecture, job.result["score"], 1)
        front = Front(
            budget=config.budget,
            data=config.data,
            class_names=experiment.data.classes,
            skeleton=experiment.skeleton,
            seed=job.seed,
            members=(member,),
        )
        write_json(path, front.to_json())
    return path


def _tell(args: argparse.Namespace, methods: list[str], jobs: list[Finished]) -> None:
    tested: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for job in jobs:
        path = args.out / job.key / "entry.json"
        if path.exists():
            assert job.result is not None
            tested[job.variant][job.seed] = read_object(path) | {"before": job.result["top1"]}
    for method in methods:
        found = tested[method]
        if not found:
            continue
        top1 = [100 * entry["top1"] for _, entry in sorted(found.items())]
        pairs = [
            100 * (tested[REFERENCE][seed]["top1"] - entry["top1"])
            for seed, entry in sorted(found.items())
            if seed in tested[REFERENCE]
        ]
        ahead = difference(pairs)
        spread = f" ({statistics.stdev(top1):.2f})" if len(top1) > 1 else ""
        text = f"{ahead.mean:+.2f} +/- {ahead.half_width:.2f}" if ahead and ahead.half_width is not None else "none"
        seeds = ", ".join(f"{value:.2f}" for value in top1)
        print(f"{method:<12} {statistics.fmean(top1):.2f}{spread}  [{seeds}]  {REFERENCE} ahead {text}")
    if args.json:
        print(json.dumps(tested))


if __name__ == "__main__":
    try:
        main()
    except InterruptedRunError as error:
        print("stopped; everything is saved, and the same command goes on", file=sys.stderr)
        sys.exit(error.exit_code)
