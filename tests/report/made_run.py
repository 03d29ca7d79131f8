"""A small run directory made by hand: two rounds, two blocks, three operations."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from evospace.config import SearchConfig
from evospace.estimation.evaluation import Evaluation
from evospace.runs.run_directory import RunDirectory
from evospace.space.architecture import Architecture
from evospace.strategies.contract import RoundResult, SearchState
from evospace.strategies.ledger import LedgerRow

NAMES = ("conv_k3", "conv_k5", "conv_k11")


def make_run(
    path: Path,
    *,
    rounds: int = 2,
    names: tuple[str, str, str] = NAMES,
    learned: bool = True,
    part: bool = False,
    **settings: Any,
) -> RunDirectory:
    """A run of `rounds` finished rounds; `names` are its operations, `settings` go into its config.

    Without a `learned` fitness that is 0; as a `part` of the pool, the last operation is not in block 2.
    """
    run = RunDirectory(path)
    path.mkdir(parents=True)
    run.database.create()
    config = SearchConfig(data="digits", budget="macs=1K").to_dict() | {"lr": 0.3, "se": True} | settings
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    packages = {"evospace": "0.1.0", "torch": "9.8.7"}
    environment = {"python": "3.11.7", "packages": packages, "contents": {"classes": "10", "image size": "8"}}
    (path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    for number in range(1, rounds + 1):
        result = round_result(number, names)
        if not learned:
            result = replace(result, ledger=tuple(replace(row, fitness=0.0) for row in result.ledger))
        if part:
            waiting = tuple(tuple(n for n in w if b == 0 or n != names[2]) for b, w in enumerate(result.state.waiting))
            result = replace(result, state=replace(result.state, waiting=waiting))
        run.database.add(result)
        run.database.add_seconds(number, "train", 10.0)
        run.database.add_seconds(number, "score", 1.5)
    return run


def round_result(number: int, names: tuple[str, str, str]) -> RoundResult:
    """In block 1 the first operation stays on the front, and a new one is pruned; in block 2 nothing is used."""
    a, b, c = names
    front = tuple(
        Evaluation(architecture=Architecture.of(blocks), macs=macs, params=4321, accuracy=accuracy, round=number)
        for blocks, macs, accuracy in (([[a], []], 912, 0.25), ([[a, b], []], 987, 0.5125))
    )
    new = (b, c)[number - 1]
    rows = (
        row(number, 0, a, "kept", 1.125, inherited=number > 1),
        row(number, 0, new, "pruned", -2.25),
        row(number, 1, new, "unused", -0.5),
    )
    waiting = ((c,), (a, c)) if number == 1 else ((), (a,))
    return RoundResult(
        state=SearchState(round=number, rounds=2, inherited=((a,), ()), waiting=waiting, front=front),
        evaluations=front,
        failed=(),
        ledger=rows,
        hypervolume=0.2,
        rehearsed_hypervolume=None,
        summary={"round": number, "active": 3, "pruned": 1, "expected_cost": 950.0, "hypervolume": 0.2 + number},
    )


def row(number: int, block: int, name: str, outcome: str, fitness: float, *, inherited: bool = False) -> LedgerRow:
    """A row of the ledger."""
    reason = f"because {outcome}"
    return LedgerRow(
        round=number,
        block=block,
        operation=name,
        inherited=inherited,
        fitness=fitness,
        outcome=outcome,
        reason=reason,
        front=(0, 1) if outcome == "kept" else (),
    )


def add_evaluation(run: Path, index: int, seed: int, weights: str = "last", **changed: Any) -> Path:
    """What an evaluation of a retrained network left."""
    path = run / "retrained" / f"net-{index:02d}" / f"seed-{seed}" / f"{weights}-evaluation.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {
        "format": 1,
        "network": f"net-{index:02d}",
        "weights": weights,
        "seed": seed,
        "data": "digits",
        "images": 360,
        "top1": 0.9,
        "top5": None,
        "loss": 0.3,
        "calibration_error": 0.02,
        "macs": 987,
        "params": 4321,
        "latency_ms": None,
        "throughput_images_per_s": 100.0,
    }
    path.write_text(json.dumps(entry | changed), encoding="utf-8")
    return path
