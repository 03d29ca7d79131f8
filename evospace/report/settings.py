"""The flags of `evospace report`."""

from dataclasses import dataclass

import tyro

from evospace.settings_file import check_out, check_settings


@dataclass(frozen=True, kw_only=True)
class ReportArgs:
    """Write one self-contained page about a run: fronts, space, ledger, costs, retrained accuracies, how to reproduce.

    It needs plotly and jinja2 (pip install plotly jinja2); the page itself needs no network.
    """

    run: tyro.conf.Positional[str]
    """Run directory of a search with at least one finished round."""
    out: str = ""
    """The page to write; default RUN/report.html."""
    debug: bool = False
    """Show tracebacks."""

    def __post_init__(self) -> None:
        check_settings(self, ())
        check_out(self.out)
