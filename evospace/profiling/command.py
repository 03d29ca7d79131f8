"""`evospace profile`: puts skeleton, pool and setting together, and says what was found."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.text import Text

from evospace.cost.latency_table import LatencyTable
from evospace.ops.pools import pool_names
from evospace.ops.user import load_ops
from evospace.profiling.profile import Profile
from evospace.profiling.settings import ProfileSettings
from evospace.profiling.verify import verification_lines, verify
from evospace.report.progress import console
from evospace.space.skeleton import make_skeleton


def profile_or_verify(settings: ProfileSettings) -> tuple[list[str], dict[str, Any]]:
    """Make or verify a table; returns lines for a person and an object for a program."""
    kinds = load_ops(settings.ops)
    screen = console(to_stderr=settings.json)
    with Live(console=screen, transient=True, auto_refresh=False) as display:

        def say(text: str) -> None:
            screen.print(Text(text), soft_wrap=True)

        def live(text: str) -> None:
            if screen.is_terminal:
                display.update(Text(text), refresh=True)

        if settings.verify:
            path = Path(settings.verify)
            table = verify(path, networks=settings.networks, seed=settings.seed, say=say, live=live)
            lines = [*verification_lines(table), f"wrote {path} and {path.with_suffix('.png')}"]
            return lines, table.verification or {}
        table = _profile(settings, kinds, say, live)
    return _profile_lines(table, settings), _summary(table)


def _profile(
    settings: ProfileSettings, kinds: tuple[str, ...], say: Callable[[str], None], live: Callable[[str], None]
) -> LatencyTable:
    skeleton = make_skeleton(
        settings.skeleton or None,
        image_size=settings.image_size,
        image_channels=settings.image_channels,
        activation=settings.activation,
    )
    return Profile(
        setting=settings.setting,
        skeleton=skeleton,
        classes=settings.classes,
        names=pool_names(settings.pool, kinds, se=settings.se),
        out=Path(settings.out),
        seed=settings.seed,
        say=say,
        live=live,
    ).run()


def _summary(table: LatencyTable) -> dict[str, Any]:
    timings = [t for block in table.blocks.values() for t in block.operations.values()]
    fit = table.fit
    return {
        "setting": str(table.setting),
        "operations": len(timings),
        "unsettled": sum(t.spread > UNSETTLED for t in timings),
        "fixed_ms": table.fixed_ns / 1e6,
        "constant_ms": fit.constant / 1e6 if fit else None,
        "scale": fit.scale if fit else None,
        "per_operation_ms": fit.per_operation / 1e6 if fit else None,
        "per_million_parameters_ms": fit.per_parameter if fit else None,
        "verified": table.verification is not None,
    }


UNSETTLED = 0.05
"""The fastest passes of a steady time lie within 2 %; beyond 5 % the machine was never quiet."""


def _profile_lines(table: LatencyTable, settings: ProfileSettings) -> list[str]:
    s, out = _summary(table), shlex.quote(settings.out)
    ops = f" --ops {shlex.quote(settings.ops)}" if settings.ops else ""
    lines = [
        f"{s['operations']} (block shape, operation) pairs of skeleton {table.skeleton.name}; {table.setting}",
        f"a network takes {s['constant_ms']:.4g} ms + {s['scale']:.4g} x the sum of its parts"
        f" + {s['per_operation_ms']:.4g} ms for each operation",
        f"  + {s['per_million_parameters_ms']:.4g} ms for each million parameters of these",
    ]
    if s["unsettled"]:
        lines.append(
            f"warning: {s['unsettled']} of {s['operations']} times are not steady (their fastest passes lie over 5 %"
            " apart); verify the table, or profile on a quieter machine"
        )
    return [*lines, f"wrote {settings.out}; check it with: evospace profile --verify {out}{ops}"]
