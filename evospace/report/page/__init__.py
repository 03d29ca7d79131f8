"""`report.html`: one self-contained page about a run, for someone who has never used the program."""

from evospace.report.page.render import write_report

__all__ = ["write_report"]
