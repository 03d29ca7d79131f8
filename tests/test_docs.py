"""Every link of the README and the docs leads somewhere, and so does every anchor."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# docs/studies holds the tables of stored studies, which nobody reads as pages.
DOCS = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "studies" not in page.parts]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings as GitHub makes anchors of them: lower case, no punctuation, spaces to hyphens."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#]+\.md)", prose(page))
        ahead += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert set(DOCS) <= reached
