"""A page as a parser of HTML sees it."""

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

_TEXT_ONLY = ("script", "style")
_VOID = ("meta", "link", "input", "br", "img")


class ParsedPage(HTMLParser):
    """Counts elements, collects attributes, ids, scripts, rows of tables and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: set[str] = set()
        self.scripts: list[str] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] not in _TEXT_ONLY:
            self.texts.append(data)
            if {"td", "th"} & set(self._open):
                self.rows[-1][-1] += data

    @property
    def figures(self) -> dict[str, Any]:
        """What the charts draw."""
        figures: dict[str, Any] = json.loads(self.scripts[0])
        return figures

    @property
    def text(self) -> str:
        """What a person reads, on one line."""
        return " ".join(" ".join(self.texts).split())
