"""What every chart is made with."""

import html
from typing import Any

from evospace.errors import printable

Chart = dict[str, Any]
METRICS = {"macs": "multiply-adds (MACs)", "params": "parameters", "latency": "latency, predicted (ms)"}
"""Of an axis."""
UNITS = {"macs": "MACs", "params": "parameters", "latency": "latency (ms)"}
"""The same where there is little room."""


def label(text: object) -> str:
    """Text that plotly shows as it stands: it would read tags such as <b> and <a href> in a label."""
    return html.escape(printable(text), quote=False)


def layout_of(x: str, y: str) -> Chart:
    """The titles of the two axes."""
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
