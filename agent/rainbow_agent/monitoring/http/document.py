"""The page: one document with its style and script in it, so that it needs nothing else.

Its parts are files of their own beside this one. The policy that goes with it names the digests of
exactly this style and this script (Content Security Policy Level 3): nothing else runs, whatever
a job is called.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Final

from rainbow_agent.monitoring.http.messages import POLICY, Response

#: In the order in which they are put together.
STYLES: Final = ("page.css",)
SCRIPTS: Final = (
    *("text.js", "address.js", "icon.js", "graph.js", "timeline.js"),
    *("job.js", "overview.js", "page.js"),
)


@cache
def document() -> Response:
    """The page with its headers; made once."""
    style, script = _joined(STYLES), '"use strict";\n' + _joined(SCRIPTS)
    text = _read("page.html").replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    policy = f"{POLICY}; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    return Response(200, "text/html; charset=utf-8", text.encode(), policy)


def _joined(names: tuple[str, ...]) -> str:
    return "".join(_read(name) for name in names)


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
