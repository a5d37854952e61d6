"""The page of a sender: their jobs on all clusters in one table, and each cluster's last word."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any, Final

from rainbow_agent.monitoring.fleet_views import fleet_cells
from rainbow_agent.monitoring.http.messages import POLICY, HttpRequest, Response, as_json
from rainbow_agent.monitoring.sent_views import sent_cells

#: Seconds after which a browser loads it again.
RELOAD_S: Final = 5


@dataclass(frozen=True)
class SentPicture:
    """What a sender knows at a moment."""

    at: float  # epoch seconds
    jobs: Sequence[dict[str, Any]]  # sent_view() of each, the newest first
    clusters: Sequence[Mapping[str, Any]]  # fleet_view() of each
    problem: str = ""  # why it is not of now


def sent_routes(
    picture: Callable[[], SentPicture],
) -> dict[str, Callable[[HttpRequest, tuple[str, ...]], Response]]:
    """Every place and its answer."""
    return {
        "/": lambda _, __: sent_page(picture()),
        "/api/jobs": lambda _, __: as_json(list(picture().jobs)),
        "/api/clusters": lambda _, __: as_json(list(picture().clusters)),
    }


def sent_page(picture: SentPicture) -> Response:
    """The page: without a script, so that nothing in a job's name can be one."""
    style = resources.files(__package__).joinpath("page", "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    problem = f'<p id="away">{escape(picture.problem)}</p>' if picture.problem else ""
    clusters = ""
    if picture.clusters:
        clusters = "<h2>Clusters</h2>" + _table(*fleet_cells(picture.clusters, picture.at))
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{RELOAD_S}"><title>Jobs that were sent</title>'
        f"<style>{style}</style></head><body><main><h1>Jobs that were sent</h1>{problem}"
        f"{_table(*sent_cells(list(picture.jobs)))}{clusters}</main></body></html>\n"
    )
    policy = f"{POLICY}; style-src 'sha256-{digest}'"
    return Response(200, "text/html; charset=utf-8", text.encode(), policy)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    where = header.index("STATE")
    body = "".join(f"<tr>{_cells(row, where)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(row: Sequence[str], state: int) -> str:
    kinds = (f' class="state {escape(cell)}"' if n == state else "" for n, cell in enumerate(row))
    return "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
