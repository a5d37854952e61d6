"""The page of a sender: every job and cluster, and no text of a job's that does anything."""

from __future__ import annotations

import json

from rainbow_agent.monitoring.fleet_views import fleet_view
from rainbow_agent.monitoring.http.app import App
from rainbow_agent.monitoring.http.sent_page import SentPicture, sent_page, sent_routes
from rainbow_agent.monitoring.sent_views import sent_view
from rainbow_agent.runtime.counters import Counter
from rainbow_agent.storage.sent_store import SentJob

NAME = "<script>alert(1)</script>"
JOB = SentJob("rb-aaaaaaaaaaaaaaaa", NAME, "h:1", b"nonce", 1.0, "blue", None, 0, None)
PICTURE = SentPicture(
    5.0,
    [sent_view(JOB, 2.0, 60.0)],
    [fleet_view("blue", {"state": "working", "at": 4.0, "cores_free": 3, "cores_total": 4}, "")],
    "rainbow <is> away",
)


def test_what_jobs_are_called_is_text() -> None:
    """And the policy of the page lets no script run at all."""
    answer = sent_page(PICTURE)
    page = answer.body.decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "rainbow &lt;is&gt; away" in page
    assert "script-src" not in answer.policy
    assert "default-src 'none'" in answer.policy
    for text in ("rb-aaaaaaaaaaaaaaaa", "blue", "working", "3 of 4", 'class="state sent"'):
        assert text in page


def test_programs_get_the_same_as_json() -> None:
    """Nothing of a job that is secret is in it."""
    said: list[str] = []
    app = App(sent_routes(lambda: PICTURE), local=True, counts=Counter())

    def get(path: str) -> bytes:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_HOST": "localhost"}
        return b"".join(app(environ, lambda status, _: said.append(status)))

    assert json.loads(get("/api/jobs"))[0]["handle"] == JOB.handle
    assert json.loads(get("/api/clusters"))[0]["cluster"] == "blue"
    assert b"nonce" not in get("/api/jobs")
    assert said == ["200 OK"] * 3
    assert b"not" in get("/nothing")
