"""Puts the page together: facts, tables and charts into one file that loads nothing from anywhere."""

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from evospace.errors import DataError, UsageError, printable, reason
from evospace.reading import is_folder
from evospace.report.page import sections, tables
from evospace.report.page.charts import charts
from evospace.report.page.gather import RunFacts, gather
from evospace.report.page.grid import STATES, grid
from evospace.runs.files import write_text

NEEDED = "a report needs plotly and jinja2; install them with: pip install plotly jinja2"


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the page about `run` to `out`, by default `run/report.html`; returns where it stands.

    Raises `UsageError` where `run` is no run directory, `out` cannot be written to, or plotly or jinja2 is missing;
    `DataError` where the run is damaged or has no finished round.
    """
    facts = gather(run)
    target = out or run / "report.html"
    if is_folder(target) or not is_folder(target.absolute().parent):
        raise UsageError(f"--out {target}: name a file in a folder that is there")
    try:
        page = render(facts)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"{run}: what it holds does not fit together ({type(error).__name__}: {error})") from error
    write_text(target, page)
    return target


def render(facts: RunFacts) -> str:
    """The page's text."""
    try:
        from jinja2 import Environment
        from markupsafe import Markup
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UsageError(f"{NEEDED} ({reason(error)})") from error

    def shown(value: Any) -> Any:
        """Text of the run's on one line, without marks that turn the writing direction; then autoescape has it."""
        return value if isinstance(value, Markup) else printable(value)

    environment = Environment(autoescape=True, finalize=shown, trim_blocks=True, lstrip_blocks=True)
    scripts = [get_plotlyjs(), _source("report.js")]
    found = charts(facts)
    return environment.from_string(_source("report.html.j2")).render(
        **context(facts),
        charts=set(found),
        training="Fitness and training" if facts.learned else "Training" if _trained(found) else "",
        scripts=[Markup(text) for text in scripts],
        hashes=" ".join(map(_digest, scripts)),
        style=Markup(_source("report.css")),
        figures=Markup(inline_json(found)),
    )


def context(facts: RunFacts) -> dict[str, Any]:
    """What the template is given, less charts and sources."""
    return {
        "facts": facts,
        "data": sections.data_name(facts),
        "tiles": sections.tiles(facts),
        "tried": sections.tried(facts),
        "best": sections.best(facts),
        "networks": tables.networks(facts),
        "rounds": tables.rounds(facts),
        "retrained": tables.retrained_rows(facts),
        "forecast": tables.forecast_rows(facts),
        "panels": grid(facts),
        "states": STATES,
        "command": facts.extended_by or tables.command(facts.config),
        "threads": facts.environment.get("threads"),
        "machine": tables.pairs(facts.environment),
        "packages": tables.pairs(facts.environment.get("packages")),
        "contents": tables.pairs(facts.environment.get("contents")),
        "settings": tables.pairs(dict(facts.config)),
    }


def _trained(found: dict[str, Any]) -> bool:
    """Whether a curve of a supernet's training is drawn."""
    return any(name.startswith("curve-") for name in found)


def inline_json(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _source(name: str) -> str:
    return files("evospace.report.page").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """What the page's policy lets run: this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
