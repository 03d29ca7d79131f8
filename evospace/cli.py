"""The command line. Flags are parsed before torch is imported."""

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from evospace.cli_arguments import parse, stored_config, take
from evospace.cli_networks import evaluate_command, export_command, report_command, retrain_command, show_command
from evospace.cli_study import study_command
from evospace.config import SearchConfig, load_config
from evospace.errors import DataError, EvospaceError, InterruptedRunError, UsageError, printable, unknown_name
from evospace.runs.signals import before_anything

HELP = """usage: evospace COMMAND [flags]

  search   evolve a search space on your images and return a Pareto front of networks
  extend   go on from a search with operations that were not in its pool
  check    look at a folder of images before a search and tell what is wrong with it
  plan     tell whether a search's budget can be met and what the search will take
  show     costs and blocks of a published network, a front's member or a run
  profile  measure latencies on this device, and check that they predict whole networks
  retrain  train networks of a front, or published ones, from scratch or from given weights
  evaluate test trained networks on test images, which decide nothing before
  export   write a network as plain PyTorch, ONNX or a timm model
  report   write one self-contained page about a run
  study    compare strategies, ablate nse, tell how far a ranking is to be trusted
  pools    the pools of operations, or the operations of one

evospace COMMAND --help lists a command's flags."""


SEARCH_HELP = """Search a Pareto front of architectures by evolving the search space.

--config FILE.yaml reads settings from a file, one `name: value` a line; flags win."""


RESUMING = ("search", "extend", "retrain")
"""Commands that have --resume."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0, 2 usage, 3 budget, 4 data, 130 interrupted, 141 nobody reads on)."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
        return 0 if args else 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be UTF-8
    try:
        if args[0] not in COMMANDS:
            raise unknown_name("command", args[0], COMMANDS)
        code = COMMANDS[args[0]](args[1:])
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `evospace pools modern | head`: who read it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except EvospaceError as error:
        if "--debug" in args:
            traceback.print_exc()
        kind = "" if isinstance(error, InterruptedRunError) else "error: "
        print(f"evospace: {kind}{printable(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        again = "go on with --resume" if args[0] in RESUMING else "give the command again"
        print(f"evospace: interrupted at once; what was stored before is kept, {again}", file=sys.stderr)
        return 130


PLAN_HELP = """Tell before a search whether its budget can be met, and what the search will take; nothing is trained.

The flags are those of a search. --config FILE.yaml reads settings from a file, --json prints one JSON object."""


def _plan(args: Sequence[str]) -> int:
    as_json = "--json" in args
    config = _search_config([arg for arg in args if arg != "--json"], "plan", PLAN_HELP)
    from evospace.plan import plan

    lines, found = plan(config)
    print(json.dumps(found, allow_nan=False) if as_json else "\n".join(lines))
    return 0


def _search_config(args: Sequence[str], command: str, text: str) -> SearchConfig:
    given, rest = take("--config", args)
    path = Path(given) if given else None
    path = path or stored_config(rest)
    if path and not given and any(path.parent.glob("net-*")):
        raise UsageError(f"--out {path.parent}: holds a retraining, not a search; give the run directory of a search")
    default = load_config(path, begun=not given) if path else SearchConfig()
    config = parse(SearchConfig, args=rest, default=default, prog=f"evospace {command}", description=text)
    if config.resume and config.out and not path and not config.data:
        raise UsageError(f"--out {config.out}: holds no run that --resume could go on with; give the run's directory")
    config.check_required()
    return config


def _search(args: Sequence[str]) -> int:
    config = _search_config(args, "search", SEARCH_HELP)
    with before_anything(resumed=config.resume):
        from evospace.search_command import search

    try:
        search(config)
    except EvospaceError:
        if config.debug and "--debug" not in args:  # `debug: true` in the settings file
            traceback.print_exc()
        raise
    return 0


EXTEND_USAGE = "usage: evospace extend RUN --pool NAME | --ops FILE --out RUN2 [flags]"
EXTEND_HELP = """Go on from the space and front of a search with more operations; RUN is only read. Settings not given
are RUN's, whatever stands as a default below; what RUN was searched for (strategy, budget, seed, ...) stays. An
extension that was ended goes on with: evospace search --out RUN2 --resume"""


def _extend(args: Sequence[str]) -> int:
    if not args or args[0].startswith("-"):
        if args and args[0] in ("-h", "--help"):
            parse(SearchConfig, args=["--help"], prog="evospace extend RUN", description=EXTEND_HELP)
        if "--resume" in args:
            raise UsageError("an extension that was ended goes on with: evospace search --out RUN2 --resume")
        print(f"{EXTEND_USAGE}\n\n{EXTEND_HELP}")
        return 2
    with before_anything():
        from evospace.extension import extend, extension_defaults

    run = Path(args[0])
    default = extension_defaults(run)
    extend(
        run, parse(SearchConfig, args=args[1:], default=default, prog="evospace extend RUN", description=EXTEND_HELP)
    )
    return 0


@dataclass(frozen=True, kw_only=True)
class CheckArgs:
    """Look at a data set before a search: what it holds, and what would stop or hurt a search."""

    data: tyro.conf.Positional[str]
    """A folder of images, or digits, fashion-mnist, cifar10, cifar100 or imagenet."""
    image_size: int = 0
    """Pixels, as for a search; 0 means the data set's own."""
    data_dir: str = ""
    """Where the named data sets lie or are downloaded to."""
    workers: int = 0
    """Threads that read images."""
    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Show tracebacks."""


def _check(args: Sequence[str]) -> int:
    parsed = parse(CheckArgs, args=args, prog="evospace check")
    SearchConfig(image_size=parsed.image_size, workers=parsed.workers)  # the same limits
    from evospace.data.check import check_data
    from evospace.report.check_lines import check_lines, reading

    data_dir = Path(parsed.data_dir) if parsed.data_dir else None
    with reading() as step:
        report = check_data(
            parsed.data, data_dir=data_dir, image_size=parsed.image_size, workers=parsed.workers, step=step
        )
    print(json.dumps(report.to_json()) if parsed.json else "\n".join(check_lines(report)))
    if report.errors:
        text = f"{parsed.data}: a search would stop ({len(report.errors)} found); mend what is listed as an error"
        print(f"evospace: error: {printable(text)}", file=sys.stderr)
    return DataError.exit_code if report.errors else 0


def _profile(args: Sequence[str]) -> int:
    from evospace.profiling.settings import ProfileSettings

    parsed = parse(ProfileSettings, args=args, prog="evospace profile")
    parsed.check_required()
    from evospace.profiling.command import profile_or_verify

    try:
        lines, result = profile_or_verify(parsed)
    except KeyboardInterrupt:
        goes_on = f"{parsed.out} holds what was finished, and the same command goes on"
        text = goes_on if parsed.out else f"{parsed.verify} is as it was"
        raise InterruptedRunError(f"interrupted; {text}", 130) from None
    print(json.dumps(result) if parsed.json else "\n".join(lines))
    return 0


@dataclass(frozen=True, kw_only=True)
class PoolsArgs:
    """The pools of operations, or the operations of one."""

    name: tyro.conf.Positional[str] = ""
    """A pool, or several and filtered as --pool takes them; none lists the pools."""
    json: bool = False
    """Print JSON: with a pool a list of operation names, else a mapping of pool to size."""
    debug: bool = False
    """Show tracebacks."""


def _pools(args: Sequence[str]) -> int:
    parsed = parse(PoolsArgs, args=args, prog="evospace pools")
    from evospace.ops.pools import POOLS, pool_with

    if not parsed.name:
        sizes = {name: len(POOLS[name]) for name in POOLS}
        print(json.dumps(sizes) if parsed.json else "\n".join(f"{n:<12} {k} operations" for n, k in sizes.items()))
        return 0
    names = [spec.name for spec in pool_with(parsed.name)]
    print(json.dumps(names) if parsed.json else "\n".join(names))
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "search": _search,
    "extend": _extend,
    "check": _check,
    "plan": _plan,
    "show": show_command,
    "profile": _profile,
    "retrain": retrain_command,
    "evaluate": evaluate_command,
    "export": export_command,
    "report": report_command,
    "study": study_command,
    "pools": _pools,
}
