"""The commands from a front to a network that ships. Flags are parsed before torch is imported."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from evospace.cli_arguments import parse, stored_config, take
from evospace.errors import UsageError, printable
from evospace.runs.signals import before_anything
from evospace.settings_file import load_settings

RETRAIN_HELP = """Train networks from scratch, or fine-tune them, on all training images; test images are never read.

--recipe NAME gives settings (small-images, the default, or imagenet); --recipe FILE.yaml changes those of small-images
that it names; flags win."""


def retrain_command(args: Sequence[str]) -> int:
    """`evospace retrain`; returns the exit code."""
    from evospace.retraining.config import SMALL_IMAGES, RetrainConfig, load_recipe

    recipe, rest = take("--recipe", args)
    stored = stored_config(rest)
    if stored and recipe:
        raise UsageError("--recipe has no effect with --resume: a retraining keeps its settings; leave it out")
    if stored and (stored.parent / "run.db").exists():
        raise UsageError(f"--out {stored.parent}: holds a search, not a retraining; give the folder of a retraining")
    default = load_settings(RetrainConfig, stored, str(stored)) if stored else load_recipe(recipe or SMALL_IMAGES)
    config = parse(RetrainConfig, args=rest, default=default, prog="evospace retrain", description=RETRAIN_HELP)
    if config.resume and not stored and not config.network and not config.init:
        raise UsageError(f"--out {config.out}: holds no retraining that --resume could go on with; give its folder")
    with before_anything(resumed=config.resume):
        from evospace.retraining.command import retrain

    retrain(config)
    return 0


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
