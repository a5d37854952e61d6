"""For Sphinx: links of pages to files of the repository that are no pages of the site.

On the forge they lead to the file. Here the file is only named, as the site has no such page; a
file that is shown as a page is linked. The drawing for a forge's own renderer is left out.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

DOCS = Path(__file__).parents[1]
#: Files outside of docs/ that are pages of the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/vulnerabilities.md",
    "CHANGELOG.md": "project/changelog.md",
    "examples/README.md": "howto/examples.md",
}
#: What a page of the site has beside its text: pages below it that a table lists already.
_AFTER = {"decisions/README.md": "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"}
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def rewritten(text: str, page: str) -> str:
    """A page's text, with links that lead somewhere on the site.

    Args:
        text: Markdown.
        page: its place in the repository, such as docs/alerts/RainbowAgentDown.md.
    """

    def link(found: re.Match[str]) -> str:
        shown, target = found.groups()
        name, _, anchor = target.partition("#")
        if not name or re.match(r"[a-z][a-z+.-]*:", target):
            return found[0]
        place = _normal(PurePosixPath(page).parent / name)
        if place in PAGES:
            anchor = f"#{anchor}" if anchor else ""
            return f"[{shown}](/{PAGES[place]}{anchor})"
        if place.startswith("docs/") and place.endswith((".md", ".svg", ".webp")):
            return f"[{shown}](/{place.removeprefix('docs/')}{f'#{anchor}' if anchor else ''})"
        return shown if shown in (f"`{place}`", place) else f"{shown} (`{place}`)"

    parts = _FENCE.split(text)
    kept = [part for part in parts if not part.startswith("```mermaid")]
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in kept)


def _normal(path: PurePosixPath) -> str:
    done: list[str] = []
    for part in path.parts:
        if part == ".." and done:
            done.pop()
        elif part != ".":
            done.append(part)
    return "/".join(done)


def on_read(_app: Any, name: str, source: list[str]) -> None:
    """A page is read; one that only stands for a file of the repository gets the file's text."""
    page = f"{name}.md"
    file = next((file for file, of in PAGES.items() if of == page and of != "index.md"), None)
    text = source[0] if file is None else (DOCS.parent / file).read_text("utf-8")
    source[0] = rewritten(text, file or f"docs/{page}") + _AFTER.get(page, "")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", on_read)
    return {"parallel_read_safe": True}
