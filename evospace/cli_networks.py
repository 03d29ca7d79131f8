"""The commands on networks: from a front to one that ships. Flags are parsed before torch is imported."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from evospace.cli_arguments import parse, stored_config, take
from evospace.errors import UsageError, printable
from evospace.reading import is_file, is_there
from evospace.runs.signals import before_anything
from evospace.settings_file import load_settings


@dataclass(frozen=True, kw_only=True)
class ShowArgs:
    """Costs and blocks of one network."""

    network: tyro.conf.Positional[str]
    """nsenet-27, nsenet, nsenet-gpu, FRONT.json#i, network.json, a checkpoint, or a run directory (the most accurate
    network of its front)."""
    se: bool = False
    """Give every operation a squeeze-excite gate, where its kind has one."""
    ops: str = ""
    """Python files of your own operations that the network uses, separated by commas."""
    latency_table: str = ""
    """Predict the latency from this table (see `evospace profile`)."""
    measure: bool = False
    """Measure the latency here: under the table's setting, or else under --runtime, --device, --batch and --threads."""
    runtime: Literal["torch", "onnxruntime"] = "torch"
    """As for a profile."""
    device: Literal["cpu", "cuda"] = "cpu"
    """As for a profile."""
    batch: int = 1
    """As for a profile."""
    threads: int = 1
    """As for a profile."""
    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Show tracebacks."""


def show_command(args: Sequence[str]) -> int:
    """`evospace show`; returns the exit code."""
    parsed = parse(ShowArgs, args=args, prog="evospace show")
    from evospace.networks import find_run
    from evospace.ops.user import load_ops
    from evospace.report.plan_lines import outcome_line
    from evospace.report.progress import console
    from evospace.report.tables import ROUNDS_LEGEND, front_table, network_lines, rounds_table
    from evospace.runs.front import read_front
    from evospace.show import describe_network

    load_ops(parsed.ops)
    network = describe_network(parsed.network, se=parsed.se)
    if parsed.latency_table or parsed.measure:
        from evospace.cost.latency_setting import Setting
        from evospace.show_latency import latencies

        setting = Setting(runtime=parsed.runtime, device=parsed.device, batch=parsed.batch, threads=parsed.threads)
        found, warnings = latencies(
            parsed.network, se=parsed.se, table=parsed.latency_table, measured=parsed.measure, setting=setting
        )
        network |= found
        for line in warnings:
            print(f"evospace: warning: {printable(line)}", file=sys.stderr)
    run = find_run(parsed.network)
    front, summaries = (read_front(run.front), run.database.summaries()) if run else (None, [])
    if parsed.json:
        if front:  # `member` says which of them is described
            members = [e.to_json() for e in front.members]
            network |= {"member": len(members) - 1, "front": members, "rounds": summaries}
        print(json.dumps(network))
        return 0
    screen = console()
    if run and front:
        screen.print(rounds_table(summaries, front.metric))
        screen.print(ROUNDS_LEGEND)
        screen.print(front_table(front.members, f"Pareto front of {run.path}", front.measured))
        network |= {"name": f"{run.path}#{len(front.members) - 1}, the most accurate of the front"}
        if plan := run.plan():
            print(outcome_line(plan, summaries))
    print("\n".join(map(printable, network_lines(network))))
    return 0


RETRAIN_HELP = """Train networks from scratch, or fine-tune them, on all training images; test images decide nothing.

--recipe NAME gives settings (small-images, the default, or imagenet); --recipe FILE.yaml changes those of small-images
that it names; flags win."""


def retrain_command(args: Sequence[str]) -> int:
    """`evospace retrain`; returns the exit code."""
    from evospace.retraining.config import SMALL_IMAGES, RetrainConfig, load_recipe

    recipe, rest = take("--recipe", args)
    in_run = _begun_in_run(rest)
    stored = stored_config(rest) or in_run
    if stored and recipe:
        raise UsageError("--recipe has no effect with --resume: a retraining keeps its settings; leave it out")
    if stored and is_there(stored.parent / "run.db"):
        raise UsageError(f"--out {stored.parent}: holds a search, not a retraining; give the folder of a retraining")
    if stored:
        default = load_settings(RetrainConfig, stored, str(stored), begun=True)
    else:
        default = load_recipe(recipe or SMALL_IMAGES)
    if in_run:  # the run may have been moved or copied since, or be named from elsewhere
        default = replace(default, out=str(in_run.parent))
    config = parse(RetrainConfig, args=rest, default=default, prog="evospace retrain", description=RETRAIN_HELP)
    if config.resume and not stored and not config.network and not config.init:
        if not config.out:
            raise UsageError("--resume needs --out with the folder of the retraining to go on with")
        raise UsageError(f"--out {config.out}: holds no retraining that --resume could go on with; give its folder")
    with before_anything(resumed=config.resume):
        from evospace.retraining.command import retrain

    retrain(config)
    return 0


def _begun_in_run(args: Sequence[str]) -> Path | None:
    """The settings of the retraining in the run that is named first, where --resume comes without --out."""
    if "--resume" not in args or args[0].startswith("-") or any(arg.partition("=")[0] == "--out" for arg in args):
        return None
    from evospace.networks import run_of

    run = run_of(args[0])
    path = run.path / "retrained" / "config.yaml" if run else None
    return path if path and is_file(path) else None


def evaluate_command(args: Sequence[str]) -> int:
    """`evospace evaluate`; returns the exit code."""
    from evospace.evaluation.settings import EvaluateSettings

    parsed = parse(EvaluateSettings, args=args, prog="evospace evaluate")
    from evospace.evaluation.command import evaluate
    from evospace.report.progress import console

    found, table, lines = evaluate(parsed)
    for line in lines:
        if line.startswith("warning: "):
            print(f"evospace: {printable(line)}", file=sys.stderr)
    lines = [line for line in lines if not line.startswith("warning: ")]
    if parsed.json:
        print(json.dumps(found, allow_nan=False))
        return 0
    console().print(table)
    print("\n".join(map(printable, lines)))
    return 0


def export_command(args: Sequence[str]) -> int:
    """`evospace export`; returns the exit code."""
    from evospace.deploy.settings import ExportSettings

    parsed = parse(ExportSettings, args=args, prog="evospace export")
    parsed.check_required()
    from evospace.export import export

    lines, found = export(parsed)
    print(json.dumps(found) if parsed.json else "\n".join(map(printable, lines)))
    return 0


def report_command(args: Sequence[str]) -> int:
    """`evospace report`; returns the exit code."""
    from evospace.report.settings import ReportArgs

    parsed = parse(ReportArgs, args=args, prog="evospace report")
    from evospace.report.page import write_report

    print(f"wrote {printable(write_report(Path(parsed.run), Path(parsed.out) if parsed.out else None))}")
    return 0
