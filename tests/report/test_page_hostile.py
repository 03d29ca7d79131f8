"""Whatever a run's texts are, they stay text, and the page loads nothing."""

import json
import re
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from evospace.report.page import write_report
from evospace.report.page.parts import label
from evospace.report.page.render import inline_json
from tests.report.browser import CHROMIUM, Page
from tests.report.made_run import add_evaluation, make_run
from tests.report.parsed_page import ParsedPage

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "\"'><img src=https://x.test/a onerror=\"document.title='owned'\"><b>",
    "\u202eliated\u2028<a href='https://x.test'>%{x}</a>{{ 7 * 7 }}",
)


def hostile_run(folder: Path) -> Path:
    path = folder / "a&b<i>\u202ename"
    make_run(path, names=HOSTILE, data=HOSTILE[1], ops=HOSTILE[0], pool=HOSTILE[2])
    add_evaluation(path, 0, 0, data=HOSTILE[0])
    (path / "extended-from.txt").write_text(HOSTILE[1], encoding="utf-8")
    packages = {HOSTILE[0]: HOSTILE[1]}
    environment = {"python": HOSTILE[1], "packages": packages, "contents": {HOSTILE[2]: HOSTILE[0], "classes": "<b>"}}
    (path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (path / "front.json").write_text("<script>", encoding="utf-8")
    return path


def plain_run(folder: Path) -> Path:
    path = folder / "plain"
    make_run(path)
    add_evaluation(path, 0, 0)
    packages = {"torch": "1"}
    environment = {"python": "3", "packages": packages, "contents": {"x": "1", "classes": "1"}}
    (path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (path / "extended-from.txt").write_text("x", encoding="utf-8")
    (path / "front.json").write_text("{", encoding="utf-8")
    return path


def test_hostile_text_adds_no_element(tmp_path: Path) -> None:
    hostile, plain = (ParsedPage(write_report(path)) for path in (hostile_run(tmp_path), plain_run(tmp_path)))
    assert hostile.elements == plain.elements
    names = [{(tag, name) for tag, name, _ in page.attributes} for page in (hostile, plain)]
    assert names[0] == names[1]
    assert HOSTILE[0] in [row[0] for row in hostile.rows if row]
    assert "{{ 7 * 7 }}" in hostile.text
    assert "\u202e" not in hostile.text
    assert "\\u202e" in hostile.text


def test_hostile_text_stays_text_in_the_charts(tmp_path: Path) -> None:
    page = ParsedPage(write_report(hostile_run(tmp_path)))
    assert len(page.scripts) == 3
    assert page.scripts[1] == get_plotlyjs()
    assert not set("<>&\u2028\u2029\u202e") & set(page.scripts[0])
    texts = "".join(re.sub(r"</?b>|<br>|<extra></extra>", "", text) for text in strings(page.figures))
    assert "<" not in texts
    assert "&lt;/script&gt;" in texts
    templates = [t.get("hovertemplate", "") for f in page.figures.values() for t in f["data"]]
    assert not any("liated" in template for template in templates)  # a name there could ask for %{...}


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    path = write_report(hostile_run(tmp_path))
    page = ParsedPage(path)
    links = [value for _, name, value in page.attributes if name in ("src", "href", "action", "srcset", "data")]
    assert all(value.startswith(("#", "data:")) for value in links)
    own = path.read_text(encoding="utf-8").replace(get_plotlyjs(), "")
    assert not re.search(r"@import|url\(|fetch\(|import\(|innerHTML|XMLHttpRequest|WebSocket|\beval\(", own)
    policy = next(v for _, name, v in page.attributes if name == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split(";")[1]


def test_json_of_a_script_element() -> None:
    assert inline_json({"a": "</script>&\u2028"}) == '{"a":"\\u003c/script\\u003e\\u0026\\u2028"}'
    assert label("<b>\u202e&") == "&lt;b&gt;\\u202e&amp;"


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
@pytest.mark.parametrize("width", [1440, 390])
def test_in_a_browser(tmp_path: Path, width: int) -> None:
    path = write_report(hostile_run(tmp_path), tmp_path / "page.html")
    with Page(tmp_path / "profile") as page:
        page.open(path, width, 900)
        assert "owned" not in page.evaluate("document.title")
        assert page.evaluate("document.querySelectorAll('.js-plotly-plot .main-svg').length") >= 8
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        page.evaluate("document.querySelectorAll('th button').forEach(b => b.click())")
        page.evaluate("Plotly.Fx.hover(document.getElementById('chart-fronts'), [{curveNumber: 1, pointNumber: 1}])")
        shown = page.evaluate("document.querySelector('#chart-fronts .hoverlayer').textContent")
        assert "</script>" in shown
        assert page.evaluate("document.querySelectorAll('.hoverlayer a, .hoverlayer img').length") == 0
        page.evaluate("until.value = 1; until.dispatchEvent(new Event('input'))")
        assert page.evaluate("document.querySelectorAll('.grid td.pruned').length") == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.complaints() == []
        assert set(page.requests()) <= {path.as_uri(), "data:,", "about:blank"}
