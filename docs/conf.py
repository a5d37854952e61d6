"""The site, for Sphinx: `make site`. Pages are Markdown; links are checked while it is built."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "docs/_ext"), str(ROOT / "agent"), str(ROOT / "compspec")]

import rainbow_agent  # noqa: E402 - found by the line above

project = "rainbow-agent"
author = "the rainbow-agent authors"
project_copyright = "the rainbow-agent authors, MIT licence"
version = release = rainbow_agent.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.graphviz",
    "links_outside",
    "help_pages",
]
exclude_patterns = ["_ext"]
templates_path: list[str] = []

# Anchors as the forge makes them, so that a link works in both places.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
graphviz_output_format = "svg"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True

html_theme = "furo"
html_title = f"rainbow-agent {release}"
html_copy_source = False
html_show_sourcelink = False
# Nothing is loaded from elsewhere, neither when it is built nor when it is read.
html_theme_options: dict[str, object] = {}
