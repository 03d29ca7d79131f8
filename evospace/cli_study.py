"""`evospace study`: strategies and ablations compared, and the trust in a ranking. Flags are parsed before torch."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from evospace.cli_arguments import parse, take
from evospace.errors import UsageError, printable, unknown_name
from evospace.study.settings import Kind, RankingSettings, StudySettings, load_preset

HELP = """usage: evospace study KIND [flags]

  space-size  compare strategies over operations per block, training length and seeds, at equal cost
  ablation    compare variants of nse with nse
  report      the table and the pictures of a study: evospace study report OUT
  ranking     how well a run's scores rank its networks: evospace study ranking RUN

evospace study KIND --help lists the flags. docs/study.md says what is compared and how to go on."""

STUDY_HELP = """{what}

Each job searches, retrains the best of its front and tests it once. The same command goes on where it stopped.
--preset NAME or FILE.yaml gives settings (tiny, small, gpu, imagenet); flags win. Without --preset, a study that
exists keeps its settings."""
WHAT = {
    "space-size": "Compare strategies over operations per block, length of training and seeds, at equal cost.",
    "ablation": "Compare variants of nse with nse, on the same subsets of the pool, at equal cost.",
}


def study_command(args: Sequence[str]) -> int:
    """`evospace study`; returns the exit code."""
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
        return 0 if args else 2
    if args[0] not in _KINDS:
        raise unknown_name("kind of study", args[0], _KINDS)
    return _KINDS[args[0]](args[1:])


def _run(kind: Kind, args: Sequence[str]) -> int:
    settings = _settings(kind, args)
    from evospace.study.command import run_study

    run_study(settings)
    return 0


def _settings(kind: Kind, args: Sequence[str]) -> StudySettings:
    preset, rest = take("--preset", args)
    default = load_preset(kind, preset) if preset else (_stored(rest) or StudySettings(kind=kind))
    if default.kind != kind:
        raise UsageError(f"--out holds a study of {default.kind}, not of {kind}; choose another --out")
    text = STUDY_HELP.format(what=WHAT[kind])
    return parse(StudySettings, args=rest, default=default, prog=f"evospace study {kind}", description=text)


def _stored(args: Sequence[str]) -> StudySettings | None:
    """The settings of the study that is gone on with."""
    out = take("--out", args)[0]
    if not out:
        return None
    from evospace.study.directory import StudyDirectory

    return StudyDirectory(Path(out)).settings()


@dataclass(frozen=True, kw_only=True)
class StudyReportArgs:
    """What a study has come to so far: a table, `results.json`, `table.md` and a picture."""

    study: tyro.conf.Positional[str]
    """Folder of a study."""
    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Show tracebacks."""


def _report(args: Sequence[str]) -> int:
    parsed = parse(StudyReportArgs, args=args, prog="evospace study report")
    from evospace.report.progress import console
    from evospace.study.report import write_study_report

    found, tables, lines = write_study_report(Path(parsed.study))
    if parsed.json:
        print(json.dumps(found, allow_nan=False))
        return 0
    for table in tables:
        console().print(table)
    print("\n".join(map(printable, lines)))
    return 0


def _ranking(args: Sequence[str]) -> int:
    parsed = parse(RankingSettings, args=args, prog="evospace study ranking")
    from evospace.study.ranking_command import rank

    found, lines = rank(parsed)
    print(json.dumps(found, allow_nan=False) if parsed.json else "\n".join(map(printable, lines)))
    return 0


_KINDS: dict[str, Callable[[Sequence[str]], int]] = {
    "space-size": lambda args: _run("space-size", args),
    "ablation": lambda args: _run("ablation", args),
    "report": _report,
    "ranking": _ranking,
}
