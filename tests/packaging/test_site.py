"""The docs site: every page is on it, links of the forge lead somewhere there, and it builds."""

from __future__ import annotations

import html
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote

import pytest

from support.wheels import load_script

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
DRAWN = re.compile(r"^```\{graphviz\} (\S+)\n:alt: \S", re.MULTILINE)


links = load_script("docs/_ext/links_outside.py")
tables = load_script("docs/tables.py")


def listed() -> set[str]:
    """What the tables of contents name: pages, or patterns of them."""
    names = {"index"}
    added = [(DOCS / page, text) for page, text in links._AFTER.items()]
    for page, text in [*((p, p.read_text("utf-8")) for p in DOCS.rglob("*.md")), *added]:
        for tree in TREE.findall(text):
            for line in tree.splitlines():
                if line and not line.startswith(":"):
                    here = page.parent.relative_to(DOCS)
                    names.add(line[1:] if line.startswith("/") else (here / line).as_posix())
    return names


def test_every_page_is_on_the_site() -> None:
    """In a table of contents, and every table names pages that are there."""
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    names = listed()
    assert [page for page in sorted(pages) if not any(fnmatch(page, name) for name in names)] == []
    assert [n for n in sorted(names) if not any(fnmatch(page, n) for page in pages)] == []


def test_the_tables_are_those_of_the_code() -> None:
    """Settings, conditions, metrics: `make generated` writes them."""
    for name, (page, _) in tables.TABLES.items():
        text = (DOCS / page).read_text("utf-8")
        assert f"<!-- table: {name} -->\n| " in text
        assert text == tables.page(page)


def test_every_drawing_is_shown_with_its_words() -> None:
    """Each text of docs/drawings is on a page, with a description for who cannot see it."""
    used = {
        (page.parent / name).resolve()
        for page in DOCS.rglob("*.md")
        for name in DRAWN.findall(page.read_text("utf-8"))
    }
    assert used == {path.resolve() for path in (DOCS / "drawings").iterdir()}


@pytest.mark.parametrize(
    ("page", "link", "on_the_site"),
    [
        ("docs/a.md", "[b](b.md#c)", "[b](/b.md#c)"),
        ("docs/howto/a.md", "[b](../security.md)", "[b](/security.md)"),
        ("README.md", "[b](docs/b.md)", "[b](/b.md)"),
        ("docs/howto/a.md", "![b](../pictures/b.webp)", "![b](/pictures/b.webp)"),
        ("docs/a.md", "[b](../CONTRIBUTING.md#c)", "[b](/project/contributing.md#c)"),
        ("docs/a.md", "[b](../crd)", "b (`crd`)"),
        ("docs/a.md", "[`crd`](../crd)", "`crd`"),
        ("docs/a.md", "[b](https://example.org/c)", "[b](https://example.org/c)"),
        ("docs/a.md", "[b](#c)", "[b](#c)"),
        ("docs/a.md", "```\n[b](../crd)\n```\n", "```\n[b](../crd)\n```\n"),
    ],
)
def test_a_link_of_the_forge_leads_somewhere_on_the_site(
    page: str, link: str, on_the_site: str
) -> None:
    """To the page, or it names the file."""
    assert links.rewritten(link, page) == on_the_site


@pytest.mark.full
def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    """As `make site`, and nothing in it is loaded from another host."""
    if importlib.util.find_spec("sphinx") is None or shutil.which("dot") is None:
        pytest.skip("NO SITE WAS BUILT: install the extra `site`, and Graphviz")
    words = ["-q", "-E", "-W", "--keep-going", str(DOCS), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=1000,
    )
    assert done.returncode == 0, done.stderr
    loads = re.compile(r'<(?:script|img|iframe)[^>]* src="https?:|<link[^>]* href="https?:')
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 50
    assert [page.name for page in pages if loads.search(page.read_text("utf-8"))] == []
    assert [*broken(tmp_path)] == []


def broken(site: Path) -> Iterator[str]:
    """Links of a built site to a page, or a place on one, that is not there."""
    texts = {page: page.read_text("utf-8") for page in site.rglob("*.html")}
    places = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in texts.items()}
    for page, text in texts.items():
        for href in re.findall(r'<a\b[^>]* href="([^"]+)"', text):
            target, _, anchor = html.unescape(href).partition("#")
            if re.match(r"[a-z][a-z+.-]*:", target):
                continue
            file = (page.parent / unquote(target)).resolve() if target else page
            there = file in places or (file.is_file() and not anchor)
            if not there or (anchor and unquote(anchor) not in places[file]):
                yield f"{page.relative_to(site)}: {href}"
